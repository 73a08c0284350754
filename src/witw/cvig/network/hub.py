"""Fast errors for an unreachable hub of timm's weights.

The hub's own client repeats each request for a minute before it fails.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from types import TracebackType
from typing import Self

ANSWER_S = 6.0  # a first answer takes a tenth of a second


class Hub:
    """Context in which the hub's client uses only its cache if the hub does not answer.

    Attributes:
        is_silent: whether the hub did not answer.
    """

    is_silent = False

    def __enter__(self) -> Self:
        # An import of a second that only downloads need.
        from huggingface_hub import constants

        self._constants, self._before = constants, constants.HF_HUB_OFFLINE
        self.is_silent = not self._before and not answers(constants.ENDPOINT)
        constants.HF_HUB_OFFLINE = self._before or self.is_silent
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._constants.HF_HUB_OFFLINE = self._before

    @property
    def told(self) -> str:
        """Return the error message for an unreachable hub without cached weights."""
        return (
            f"{self._constants.ENDPOINT} does not answer and the cache "
            f"{self._constants.HF_HUB_CACHE} has no copy; connect to the network, set "
            "`HF_HUB_CACHE` to a cache that has one, or give the weights as a local file."
        )


def answers(address: str, seconds: float = ANSWER_S) -> bool:
    """Return whether a server answers at all, through the environment's proxy, if any."""
    found = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - of the client
            with urllib.request.urlopen(request, timeout=seconds):  # noqa: S310
                found.set()
        except urllib.error.HTTPError:
            found.set()
        except (OSError, ValueError):
            pass
        asked.set()

    # In a thread, because a name lookup has no time limit.
    asked = threading.Event()
    threading.Thread(target=ask, daemon=True).start()
    asked.wait(seconds)
    return found.is_set()
