"""Audit a search: repeat random queries and count the photos it did not list.

Capture and recapture. Pages at random upload dates of the whole area are asked for several times
each, since servers that lag behind each other show different photos; photos shown of which the
search knows nothing are a sample of what it missed. Their share gets the interval of Wilson (J. Am.
Stat. Assoc. 22, 1927, 209-212); what no repetition showed is estimated by the bias-corrected form
of Chao's bound (Scand. J. Stat. 11, 1984, 265-270) and added above.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from witw.flickr.crawl.pages import Ask, Query

LEAST = 12  # calls; with fewer, a loss of 0.3 % went unseen
VIEWS = 3  # of each page
TAKE = 100  # marks the audit's questions as its own
Z = 2.576  # 99 %


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        calls: spent on it.
        shown: distinct photos on its pages.
        unknown: of them, those the search had not listed.
        low: share of all photos missing, lower end of the 99 % interval.
        high: its upper end.
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
    """Ask again at random.

    Args:
        ask: the service.
        root: the question for the whole area, up to the snapshot.
        listed: what the search found.
        uploads: upload dates of those photos, in order [s].
        calls: that the search needed.
        share: of these, how many more to spend.
        spent: of those, how many went into other questions.
        settle: makes a choice or remembers it, so that it stays when photos are forgotten.
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
    """Upload dates to ask for [s], and how often each."""
    most = min(max(LEAST, math.ceil(share * calls) - spent), calls) if share > 0 and uploads else 0
    views = min(VIEWS, most)
    # Moments by photo, not by time: every photo is as likely to be looked for. Drawn alike each
    # time, so that an interrupted audit asks the same.
    chance = random.Random(f"{root.key} {len(uploads)}")  # noqa: S311
    moments = [uploads[chance.randrange(len(uploads))] for _ in range(most // max(views, 1))]
    if most < VIEWS:
        # So few photos that the newest page shows most of them.
        moments, views = [root.high] * bool(most), most
    return moments, views


def wilson(hits: float, count: float) -> tuple[float, float]:
    """Wilson's interval of a share, 99 %; of nothing it is 0 to 1."""
    if count <= 0:
        return 0.0, 1.0
    share, z2 = hits / count, Z * Z
    middle = share + z2 / (2 * count)
    half = Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    scale = 1 + z2 / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
