"""witw: from a list of cities to a trained photo-to-satellite geolocalizer.

``from witw import Pairs`` gives the pairs to PyTorch; ``from witw import Locator`` finds the place
of a photo.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from witw.cvig.torch_pairs import Pairs as Pairs
    from witw.locating.front import Locator as Locator

__version__ = "0.2.0"

_LAZY = {"Locator": "witw.locating.front", "Pairs": "witw.cvig.torch_pairs"}


def __getattr__(name: str) -> Any:
    """Import what is offered here when it is first asked for: torch takes seconds."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'witw' has no attribute {name!r}")
