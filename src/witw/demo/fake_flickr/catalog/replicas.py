"""A changing service: lagging replicas, photos that appear and vanish, phantom counts."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.catalog.columns import Columns, Positions, Wanted
from witw.demo.fake_flickr.catalog.draws import uniform, uniform_one

CACHE_POSITIONS = 16 * 2**20
NEVER = np.iinfo(np.int64).max
_NOTHING: Positions = np.zeros(0, np.int32)


@dataclass(frozen=True)
class Matches:
    """All matches of a query on one replica, regardless of dates.

    Attributes:
        counted: Permanent photos, ascending positions.
        shown: Those of them that appear on pages.
        moving: Photos that appear or vanish at some time, ascending positions.
    """

    counted: Positions
    shown: Positions
    moving: Positions


class Noise:
    """Draws of a :class:`Behaviour` over the photos of a catalog.

    Attributes:
        phantom: bool, one for each position: counted but never shown.
        born: Number of the first search that can find a photo; 0: always.
        gone: Number of the first search that can no longer find it.
        lacks: bool for each position, one array per replica; empty: all replicas are complete.
    """

    def __init__(self, columns: Columns, behaviour: Behaviour) -> None:
        self._columns, self._behaviour = columns, behaviour
        ids, seed = columns.id, behaviour.seed
        never = np.broadcast_to(np.False_, len(columns))
        self.phantom: NDArray[np.bool_] = (
            uniform(ids, seed, "phantom") < behaviour.phantoms if behaviour.phantoms else never
        )
        self.lacks = [
            uniform(ids, seed, f"replica {number}") < behaviour.lag
            for number in range(behaviour.replicas if behaviour.lag else 0)
        ]
        self.born, self.gone, self._moves = self._churn(ids, seed)
        self._cache: OrderedDict[tuple[Wanted, int], Matches] = OrderedDict()
        self._cached = 0
        self._lock = Lock()

    def _churn(
        self, ids: NDArray[np.int64], seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        b = self._behaviour
        if not (b.vanishing or b.appearing):
            shape = len(ids)
            return (
                np.broadcast_to(np.int64(0), shape),
                np.broadcast_to(np.int64(NEVER), shape),
                np.broadcast_to(np.False_, shape),
            )
        share = uniform(ids, seed, "churn")
        # From the second search on, so that each photo is present, and absent, at least once.
        when = 2 + (uniform(ids, seed, "when") * max(b.churn_calls - 1, 1)).astype(np.int64)
        appears = (share >= b.vanishing) & (share < b.vanishing + b.appearing)
        return (
            np.where(appears, when, 0),
            np.where(share < b.vanishing, when, NEVER),
            share < b.vanishing + b.appearing,
        )

    def replica(self, call: int) -> int:
        """Return the replica that answers the ``call``-th search; -1: any."""
        if not self.lacks:
            return -1
        return int(uniform_one(call, self._behaviour.seed, "answers") * len(self.lacks))

    def found(self, wanted: Wanted, replica: int) -> Matches:
        """Return the matches of a query on a replica, cached for the next call."""
        key = (wanted, replica)
        with self._lock:
            known = self._cache.get(key)
            if known is not None:
                self._cache.move_to_end(key)
                return known
        made = self._find(wanted, replica)
        with self._lock:
            self._cache[key] = made
            self._cached += len(made.counted) + len(made.shown)
            while self._cached > CACHE_POSITIONS and len(self._cache) > 1:
                old = self._cache.popitem(last=False)[1]
                self._cached -= len(old.counted) + len(old.shown)
        return made

    def _find(self, wanted: Wanted, replica: int) -> Matches:
        counted = self._columns.positions(wanted)
        moving = _NOTHING
        if replica >= 0:
            counted = counted[~self.lacks[replica][counted]]
        if self._behaviour.vanishing or self._behaviour.appearing:
            moves = self._moves[counted]
            counted, moving = counted[~moves], counted[moves]
        shown = counted
        if self._behaviour.phantoms and self._behaviour.phantom_pages == "filled":
            shown = counted[~self.phantom[counted]]
        return Matches(counted, shown, moving)

    def there(self, positions: Positions, call: int) -> Positions:
        """Return the positions that exist at the ``call``-th search."""
        return positions[(self.born[positions] <= call) & (call < self.gone[positions])]

    def total(self, count: int, call: int) -> int:
        """Return ``count`` as reported by the ``call``-th search."""
        if not self._behaviour.jitter:
            return count
        error = 2 * uniform_one(call, self._behaviour.seed, "jitter") - 1
        return max(0, round(count * (1 + self._behaviour.jitter * error)))

    def always(self, positions: Positions, first: int, last: int, by_id: bool = False) -> Positions:
        """Return positions shown by every search from ``first`` to ``last`` on a replica with them.

        With ``by_id``, return those that can be looked up by id then, regardless of replicas.
        """
        keep = ~self.phantom[positions]
        keep &= (self.born[positions] <= first) & (last < self.gone[positions])
        if self.lacks and not by_id:
            keep &= ~np.logical_and.reduce([lack[positions] for lack in self.lacks])
        return positions[keep]
