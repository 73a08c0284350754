"""numba settings: compiled functions that release the interpreter's lock.

Compiled code is kept beside the module, or in the user's cache folder where that is read-only
(numba's own rules; ``NUMBA_CACHE_DIR`` overrides them), under a name that holds the module's
date and the processor's features. Files appear whole, so jobs may share the folder. Where
nothing can be written every process compiles for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def njit[F: Callable[..., Any]](function: F) -> F:
    """Compile at the first call, for these types of arguments."""
    compile_: Any = numba.njit
    try:
        compiled: F = compile_(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # "no locator available"
        compiled = compile_(nogil=True, error_model="numpy")(function)
    return compiled
