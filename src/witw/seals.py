"""Checksums inside the JSON and XML that stages hand on, so that no bit turned over is believed.

A file without one is believed, as an earlier version wrote it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from witw.errors import UserError

KEY = "crc32"
_COMMENT = re.compile(r"<!-- crc32 (\w+) -->\n\Z")


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same with its checksum under one key more, a CRC-32 of it as sorted JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    return plain | {KEY: _crc(json.dumps(plain, sort_keys=True))}


def unseal(value: Any) -> Any:
    """What :func:`seal` was given; anything else as it is.

    Raises:
        ValueError: it is not what its checksum says.
    """
    if not isinstance(value, dict) or KEY not in value:
        return value
    plain = {key: inner for key, inner in value.items() if key != KEY}
    if _crc(json.dumps(plain, sort_keys=True)) != value[KEY]:
        raise ValueError("it is not what its checksum says")
    return plain


def seal_xml(text: str) -> str:
    """An XML document and, as a comment behind it, its checksum."""
    return f"{text}<!-- crc32 {_crc(text)} -->\n"


def check_xml(path: Path) -> None:
    """Look whether a file of :func:`seal_xml` is whole.

    Raises:
        UserError: it is not what its checksum says.
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
