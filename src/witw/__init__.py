"""witw: from a list of cities to a trained photo-to-satellite geolocalizer."""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_LAZY = {"Locator": "witw.locating.front"}


def __getattr__(name: str) -> Any:
    """Import what is offered here when it is first asked for: torch takes seconds."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'witw' has no attribute {name!r}")
