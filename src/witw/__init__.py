"""witw: from a list of cities to a trained photo-to-satellite geolocalizer.

``from witw import Pairs`` reads the pairs as a PyTorch data set. ``from witw import Locator``
locates photos.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from witw.cvig.torch_pairs import Pairs as Pairs
    from witw.locating.front import Locator as Locator

__version__ = "0.2.0"

_LAZY = {"Locator": "witw.locating.front", "Pairs": "witw.cvig.torch_pairs"}


def __getattr__(name: str) -> Any:
    """Import a class on its first use: torch takes seconds."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'witw' has no attribute {name!r}")
