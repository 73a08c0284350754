"""Write files atomically; checksum the JSON and XML that stages pass on.

Files without a checksum are accepted, because earlier versions wrote none.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from witw.errors import UserError

# Errors of a file system that the user can correct.
_REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})


@contextmanager
def explained(path: Path | None = None) -> Iterator[None]:
    """Convert errors of a full, read-only or inaccessible disk to a `UserError`.

    Args:
        path: the file being written, named unless the error names a file itself.

    Raises:
        UserError: the disk is full, read-only or inaccessible.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise UserError(
            f"{error.filename or path or 'A file'} cannot be written or read "
            f"({os.strerror(error.errno)}); free space or grant access, then run again."
        ) from error


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary file name beside ``path``; on success fsync it and rename it to ``path``.

    The temporary name keeps the suffix, which drivers need, and the file is removed on any failure.
    """
    with explained(path):
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
    """As :func:`atomic`, for a folder: the folder appears with all its files or not at all."""
    with scratch(path) as part:
        yield part
        part.chmod(0o777 & ~_umask())
        if path.exists():
            shutil.rmtree(path)
        part.replace(path)
        _sync(path.parent)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``, on the same disk, and remove it afterwards.

    Folders that a killed job left for the same path are removed first.
    """
    with explained(path):
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
    """Return the process's umask; `tempfile` ignores it and creates private files."""
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
    """Read JSON; verify and remove its checksum, if any.

    Raises:
        UserError: the file is damaged; says how to recreate it.
    """
    try:
        return unseal(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        raise UserError(f"{path} is not readable JSON; delete it and run again.") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same_as_first(path: Path, found: Path) -> str:
    """Compare a fetched file with the first file fetched to the same path.

    The SHA-256 is recorded in ``{path}.sha256``, in the format of ``sha256sum``, at the first
    fetch. The record stays when the file itself is deleted.

    Args:
        path: the file's final path.
        found: the file's current path.

    Returns:
        The file's SHA-256.

    Raises:
        UserError: the file differs from the first one.
    """
    digest, record = sha256(found), path.with_name(f"{path.name}.sha256")
    first = record.read_text().split()[:1] if record.is_file() else []
    if first and first != [digest]:
        raise UserError(
            f"{path} has SHA-256 {digest}, but the file fetched first had {first[0]}: the file was "
            f"changed or damaged; if you expect the change, delete {record} and run again."
        )
    if not first:
        write_text(record, f"{digest}  {path.name}\n")
    return digest


def sync_folders(folders: Iterable[Path]) -> None:
    """Fsync folders, which makes their renames and removals durable."""
    for folder in sorted(set(folders)):
        _sync(folder)


KEY = "crc32"
_COMMENT = re.compile(r"<!-- crc32 (\w+) -->\n\Z")


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping with one more key, the CRC-32 of its sorted JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    return plain | {KEY: _crc(json.dumps(plain, sort_keys=True))}


def unseal(value: Any) -> Any:
    """Return a sealed mapping without its checksum; return any other value unchanged.

    Raises:
        ValueError: the checksum does not match.
    """
    if not isinstance(value, dict) or KEY not in value:
        return value
    plain = {key: inner for key, inner in value.items() if key != KEY}
    if _crc(json.dumps(plain, sort_keys=True)) != value[KEY]:
        raise ValueError("its checksum does not match")
    return plain


def seal_xml(text: str) -> str:
    """Return an XML document with its checksum in a comment at the end."""
    return f"{text}<!-- crc32 {_crc(text)} -->\n"


def check_xml(path: Path) -> None:
    """Verify the checksum of a file that :func:`seal_xml` wrote.

    Raises:
        UserError: the checksum does not match.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = _COMMENT.search(text)
        if not found or _crc(text[: found.start()]) == found[1]:
            return
    except UnicodeDecodeError:
        pass
    raise UserError(f"{path} is damaged; delete it and run again.")


def _crc(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
