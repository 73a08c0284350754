"""The exception for mistakes a user can correct."""

import sys
import unicodedata
from collections.abc import Callable


def printable(text: str) -> str:
    """The text with what would steer a terminal, or turn the direction of the line, escaped.

    Names and answers from outside end in logs and errors; line breaks and tabs stay.
    """
    return "".join(
        repr(char)[1:-1]
        if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else char
        for char in text
    )


class UserError(Exception):
    """A mistake in the config, the environment or an input file.

    Its text is one sentence that names the AOI, file or key and says what to do; stages print it
    without a traceback and exit with 1.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def stop_on[**P, T](call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call; a user's mistake ends this process with its sentence instead of a traceback."""
    try:
        return call(*args, **kwargs)
    except UserError as error:
        sys.exit(f"witw: {error}")
