"""Audit a search: repeat random queries and count the photos that the search did not list.

This is a capture-recapture estimate. Queries for the whole area at random upload dates are repeated
several times, because replicas that lag behind each other show different photos. Photos that the
search does not know are a sample of those it missed. Their share gets Wilson's interval (J. Am.
Stat. Assoc. 22, 1927, 209-212). The photos that no repetition showed are estimated by the
bias-corrected form of Chao's bound (Scand. J. Stat. 11, 1984, 265-270) and added.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from witw.flickr.crawl.pages import Ask, Query

LEAST = 12  # calls; fewer missed a loss of 0.3 %
VIEWS = 3  # queries per page
TAKE = 100  # marks the audit's queries as its own
Z = 2.576  # 99 %


@dataclass(frozen=True)
class Audit:
    """Findings of an audit.

    Attributes:
        calls: Number of calls it made.
        shown: Number of distinct photos on its pages.
        unknown: Those of them that the search had not listed.
        low: Lower end of the 99 % interval for the share of all photos that are missing.
        high: Upper end of that interval.
    """

    calls: int
    shown: int
    unknown: list[str]
    low: float
    high: float


def audit(
    ask: Ask,
    root: Query,
    listed: Collection[str],
    uploads: Sequence[int],
    calls: int,
    share: float,
    spent: int = 0,
    settle: Callable[[Callable[[], str]], str] = lambda make: make(),
) -> Audit:
    """Repeat queries at random upload dates.

    Args:
        ask: Sends a query to the service.
        root: Query for the whole area, up to the snapshot.
        listed: Ids of the photos found by the search.
        uploads: Sorted upload dates of those photos [s].
        calls: Number of calls the search needed.
        share: Budget for extra calls, as a share of ``calls``.
        spent: Number of calls of this budget already used by other queries.
        settle: Makes a choice or recalls it, so that it stays the same after photos are forgotten.
    """
    moments, views = json.loads(
        settle(lambda: json.dumps(_drawn(root, uploads, calls, share, spent)))
    )
    seen: Counter[str] = Counter()
    for number, moment in enumerate(moments):
        for view in range(views):
            take = TAKE + number * VIEWS + view
            page = ask(root._replace(high=moment, take=take))
            seen.update({entry.id for entry in page.entries if not entry.flaw})
    unknown = sorted(set(seen) - set(listed))
    once = sum(seen[photo] == 1 for photo in unknown)
    twice = sum(seen[photo] == 2 for photo in unknown)
    hidden = once * (once - 1) / (2 * (twice + 1)) if views > 1 else 0.0
    low, _ = wilson(len(unknown), len(seen))
    _, high = wilson(len(unknown) + hidden, len(seen) + hidden)
    return Audit(len(moments) * views, len(seen), unknown, round(low, 6), round(high, 6))


def _drawn(
    root: Query, uploads: Sequence[int], calls: int, share: float, spent: int
) -> tuple[list[int], int]:
    """Return the upload dates to query [s], with the number of repetitions of each."""
    most = min(max(LEAST, math.ceil(share * calls) - spent), calls) if share > 0 and uploads else 0
    views = min(VIEWS, most)
    # Dates are drawn per photo, not per time span, so every photo is equally likely to be sought. A
    # fixed seed lets an interrupted audit repeat the same queries.
    chance = random.Random(f"{root.key} {len(uploads)}")  # noqa: S311
    moments = [uploads[chance.randrange(len(uploads))] for _ in range(most // max(views, 1))]
    if most < VIEWS:
        # With so few photos, the newest page shows most of them.
        moments, views = [root.high] * bool(most), most
    return moments, views


def wilson(hits: float, count: float) -> tuple[float, float]:
    """Return Wilson's 99 % interval of a share; 0 to 1 if ``count`` is 0."""
    if count <= 0:
        return 0.0, 1.0
    share, z2 = hits / count, Z * Z
    middle = share + z2 / (2 * count)
    half = Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    scale = 1 + z2 / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
