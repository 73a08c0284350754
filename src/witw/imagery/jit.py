"""numba settings: compiled functions that release the interpreter's lock.

Compiled code is cached beside the module, or in the user's cache folder if that is read-only
(numba's own rules; ``NUMBA_CACHE_DIR`` overrides them). The file name contains the module's date
and the processor's features. Files appear atomically, so jobs may share the folder. If no folder is
writable, every process compiles for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def njit[F: Callable[..., Any]](function: F) -> F:
    """Compile a function at its first call, for the types of its arguments."""
    compile_: Any = numba.njit
    try:
        compiled: F = compile_(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # "no locator available"
        compiled = compile_(nogil=True, error_model="numpy")(function)
    return compiled
