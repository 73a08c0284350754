"""Shared by all stages: command-line arguments, logging, progress.

A stage module has ``VERSION`` and ``READS`` (see :mod:`witw.spec`), a pure ``run(...)`` and::

    def main(argv: Sequence[str] | None = None) -> None:
        args = stage.arguments("chips", __doc__, inputs=["mosaic"], outputs=["table"], argv=argv)
        run(args.spec, args.mosaic, args.table, threads=args.threads)

    if __name__ == "__main__":
        stage.execute(main)

It therefore runs with and without Snakemake.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from witw import files
from witw.errors import UserError, printable

log = logging.getLogger("witw")


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
        stage: key of :data:`witw.spec.STAGES`; ``--spec`` must belong to this stage.
        doc: the module's docstring; its first line is the help text.
        inputs: names of the input paths.
        outputs: names of the output paths; their parent folders are created.
        many: names in ``inputs`` that take several paths.
        values: names of options that are words, not paths.
        optional: names of optional input paths (default: None).
        argv: command line; default: the process's command line.

    Raises:
        UserError: an input is a damaged VRT.
    """
    parser = argparse.ArgumentParser(description=(doc or stage).splitlines()[0])
    parser.add_argument("--spec", required=True, help="JSON of the keys that this stage reads")
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
    args.spec = parse_spec(args.spec, stage)
    for name in outputs:
        Path(getattr(args, name)).parent.mkdir(parents=True, exist_ok=True)
    for name in inputs:
        _check_whole(getattr(args, name))
    return args


def parse_spec(text: str, stage: str) -> dict[str, Any]:
    """Parse a ``--spec``, which :func:`witw.spec.build` wrote.

    It is here because :mod:`witw.spec` imports what only plans need.

    Raises:
        UserError: the text is not JSON, or the spec of another stage.
    """
    try:
        spec = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--spec is not JSON: {error}; give the spec of stage {stage!r}.") from None
    if not isinstance(spec, dict) or spec.get("stage") != stage:
        raise UserError(f"--spec is not a spec of stage {stage!r}; give the spec of this stage.")
    return spec


def _check_whole(given: Path | list[Path]) -> None:
    """Verify the checksums of VRTs, which GDAL ignores."""
    for path in given if isinstance(given, list) else [given]:
        if path.suffix == ".vrt" and path.is_file():
            files.check_xml(path)


def execute(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; a `UserError` becomes one line and exit code 1."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Slurm and Snakemake send SIGTERM: exit by an exception, which removes temporary files.
    signal.signal(signal.SIGTERM, _stop)
    try:
        with files.explained():
            main()
    except UserError as error:
        print(f"witw: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except KeyboardInterrupt:
        print("witw: stopped by Ctrl-C", file=sys.stderr)  # noqa: T201
        sys.exit(130)


class _Plain(logging.Formatter):
    """A log formatter that escapes terminal control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _stop(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def bar(
    label: str, total: int | None = None, unit: str = "it", items: Iterable[Any] | None = None
) -> tqdm[Any]:
    """Return a progress bar; without a terminal, it prints a line every 30 s."""
    if sys.stderr.isatty():
        return tqdm(items, desc=label, total=total, unit=unit, mininterval=0.2)
    # Equal intervals: otherwise tqdm also repeats a line, in a thread of its own.
    shape: dict[str, Any] = {"mininterval": 30, "maxinterval": 30, "ascii": True, "file": _Lines()}
    return tqdm(items, desc=label, total=total, unit=unit, **shape)


class _Lines:
    """Standard error for a bar without a terminal: each redraw becomes a line."""

    def write(self, text: str) -> None:
        if line := text.replace("\r", "").rstrip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress[T](items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
    """Yield items, showing progress as :func:`bar` does."""
    return bar(label, total, items=items)
