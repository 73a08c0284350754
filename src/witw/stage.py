"""What every stage module shares: arguments, logging, progress, outputs that are whole or absent.

A stage module has ``VERSION`` and ``READS`` (see :mod:`witw.spec`), a pure ``run(...)`` and::

    def main(argv: Sequence[str] | None = None) -> None:
        args = stage.arguments("chips", __doc__, inputs=["mosaic"], outputs=["table"], argv=argv)
        run(args.spec, args.mosaic, args.table, threads=args.threads)

    if __name__ == "__main__":
        stage.execute(main)

so that it runs with and without Snakemake.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from witw import seals
from witw import spec as spec_module
from witw.errors import UserError, printable

log = logging.getLogger("witw")

# What a disk refuses, and its user can put right.
_REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})


def arguments(
    stage: str,
    doc: str | None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    many: Sequence[str] = (),
    values: Sequence[str] = (),
    optional: Sequence[str] = (),
    argv: Sequence[str] | None = None,
) -> argparse.Namespace:
    """Parse ``--spec JSON --threads N`` and one path option for each named input and output.

    Args:
        stage: key of :data:`witw.spec.STAGES`; ``--spec`` must be that stage's.
        doc: the module's docstring; its first line is the help text.
        inputs: names of the input paths.
        outputs: names of the output paths; their parent folders are made.
        many: those of ``inputs`` that take several paths.
        values: names of options that are words, not paths.
        optional: names of input paths that may be left out (then None).
        argv: command line; default: the process's.

    Raises:
        UserError: an input is a VRT and damaged.
    """
    parser = argparse.ArgumentParser(description=(doc or stage).splitlines()[0])
    parser.add_argument("--spec", required=True, help="JSON of the keys this stage reads")
    parser.add_argument("--threads", type=int, default=1, help="threads to use")
    for name in inputs:
        nargs = "*" if name in many else None
        parser.add_argument(f"--{name}", type=Path, required=True, nargs=nargs)
    for name in outputs:
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in values:
        parser.add_argument(f"--{name}", required=True)
    for name in optional:
        parser.add_argument(f"--{name}", type=Path)
    args = parser.parse_args(argv)
    args.spec = spec_module.parse(args.spec, stage)
    for name in outputs:
        Path(getattr(args, name)).parent.mkdir(parents=True, exist_ok=True)
    for name in inputs:
        _check_whole(getattr(args, name))
    return args


def _check_whole(given: Path | list[Path]) -> None:
    """Look at the seals of VRTs, which GDAL would read past."""
    for path in given if isinstance(given, list) else [given]:
        if path.suffix == ".vrt" and path.is_file():
            seals.check_xml(path)


def execute(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; a user's mistake becomes one line and exit code 1."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Slurm and Snakemake ask with SIGTERM: unwind, so that temporary files are removed.
    signal.signal(signal.SIGTERM, _stop)
    try:
        with _explained():
            main()
    except UserError as error:
        print(f"witw: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


class _Plain(logging.Formatter):
    """A log in which nothing from outside can steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextmanager
def _explained(path: Path | None = None) -> Iterator[None]:
    """Say in a sentence that a disk is full, read-only or closed to this user.

    Args:
        path: what is being written; the file that the error names goes before.

    Raises:
        UserError: it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise UserError(
            f"{error.filename or path or 'A file'} cannot be written or read "
            f"({os.strerror(error.errno)}); make room or give access, then run again."
        ) from error


def _stop(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary file name beside ``path``; on success fsync it and rename it to ``path``.

    The temporary name keeps the suffix (drivers look at it) and is removed on any failure, so that
    nothing half-written is ever taken for whole.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=f".part{path.suffix}", dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.chmod(0o666 & ~_umask())
            _sync(part)
            part.replace(path)
            _sync(path.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """As :func:`atomic`, for a folder: it appears with all its files or not at all."""
    with scratch(path) as part:
        yield part
        part.chmod(0o777 & ~_umask())
        if path.exists():
            shutil.rmtree(path)
        part.replace(path)
        _sync(path.parent)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``, on its disk, and remove it afterwards.

    What a killed job left for the same path is removed first.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name}."
        for stale in path.parent.glob(f"{prefix}*.part"):
            shutil.rmtree(stale, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=prefix, suffix=".part", dir=path.parent))
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _umask() -> int:
    """The process's umask; the temporary files are made private whatever it is."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON atomically; equal values give equal bytes."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON; what is sealed (:mod:`witw.seals`) without its seal.

    Raises:
        UserError: the file is not whole; says how to make it anew.
    """
    try:
        return seals.unseal(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        raise UserError(f"{path} is not readable JSON; delete it and run again.") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bar(
    label: str, total: int | None = None, unit: str = "it", items: Iterable[Any] | None = None
) -> tqdm[Any]:
    """Return a progress bar on a terminal; elsewhere a line every 30 s."""
    if sys.stderr.isatty():
        return tqdm(items, desc=label, total=total, unit=unit, mininterval=0.2)
    shape: dict[str, Any] = {"mininterval": 30, "ascii": True, "file": _Lines()}
    return tqdm(items, desc=label, total=total, unit=unit, **shape)


class _Lines:
    """Standard error for a bar that is not on a terminal: what it redraws becomes a line each."""

    def write(self, text: str) -> None:
        if line := text.replace("\r", "").rstrip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress[T](items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
    """Show progress over items as :func:`bar` does."""
    return bar(label, total, items=items)
