"""The exception for mistakes that a user can correct."""

import sys
import unicodedata
from collections.abc import Callable


def printable(text: str) -> str:
    """Return the text with terminal control and text direction characters escaped.

    Logs and errors contain names and answers from other services. Line breaks and tabs stay.
    """
    return "".join(
        repr(char)[1:-1]
        if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else char
        for char in text
    )


class UserError(Exception):
    """A mistake in the config, the environment or an input file.

    The message is one sentence with the AOI, file or key, the fault and the remedy. Stages print it
    without a traceback and exit with 1.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def stop_on[**P, T](call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function; a `UserError` ends the process with its message instead of a traceback."""
    try:
        return call(*args, **kwargs)
    except UserError as error:
        sys.exit(f"witw: {error}")


def one_line(error: Exception) -> str:
    """Return a library's error in one line, without GDAL's advice to callers of its functions."""
    return " ".join(str(error).split("; It might help")[0].split())
