"""Download a Places365 checkpoint that the config gives by URL."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from witw import files, stage
from witw.errors import UserError

VERSION = 1
READS = ("weights",)

log = logging.getLogger(__name__)

TRIES = 4
TIMEOUT_S = (10, 60)  # to connect, and between two pieces of the answer
PIECE_BYTES = 1 << 20


class _RefusedError(Exception):
    """The server refused; another attempt would have the same result."""


def run(spec: dict[str, Any], file: Path, pause_s: float = 2.0) -> None:
    """Fetch ``spec["weights"]`` (http or https) into ``file``, atomically.

    Args:
        spec: ``weights``, the address.
        file: output.
        pause_s: pause before the second attempt, doubled before each further attempt [s].

    Raises:
        UserError: the download fails (names address and config key), or the file differs from the
            first fetched one, see :func:`witw.files.same_as_first`.
    """
    url = str(spec["weights"])
    if not url.lower().startswith(("http://", "https://")):
        raise _failure(url, "only http and https addresses can be fetched")
    reason = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(pause_s * 2 ** (attempt - 1))
        try:
            with files.atomic(file) as part:
                _fetch(url, part)
                log.info("sha256 %s", files.same_as_first(file, part))
            return
        except _RefusedError as error:
            raise _failure(url, str(error)) from None
        except (requests.RequestException, ConnectionError) as error:
            reason = _reason(error)
            log.warning("try %d of %d: %s: %s", attempt + 1, TRIES, url, reason)
    raise _failure(url, reason)


def _fetch(url: str, part: Path) -> None:
    """Stream ``url`` into ``part``."""
    with requests.get(url, stream=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code >= 500 or answer.status_code == 429:
            raise ConnectionError(f"HTTP {answer.status_code}")
        if answer.status_code != 200:
            raise _RefusedError(f"HTTP {answer.status_code}")
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise _RefusedError("the answer is a web page")
        size = 0
        with part.open("wb") as out:
            for piece in answer.iter_content(PIECE_BYTES):
                size += out.write(piece)
        said = answer.headers.get("Content-Length")
        coded = "Content-Encoding" in answer.headers
        if not size or (said is not None and not coded and size != int(said)):
            raise ConnectionError(f"the answer broke off after {size} bytes")
        log.info("%s: %d bytes", url, size)


def _reason(error: Exception) -> str:
    """Return the essence of an error; requests' messages repeat the address and object names."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error) if type(error) is ConnectionError else type(error).__name__


def _failure(url: str, reason: str) -> UserError:
    return UserError(
        f"{url} could not be fetched ({reason}); check `scenes.checkpoint` in the config, or fetch "
        "the file yourself and give its path there."
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments("weights", __doc__, outputs=["file"], argv=argv)
    run(args.spec, args.file)


if __name__ == "__main__":
    stage.execute(main)
