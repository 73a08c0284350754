"""Ledger of a search: totals reported by the service against photos shown.

Consider two queries for one box, the second up to an earlier date. The total must fall by exactly
the number of newer photos that the first query showed, and the last page must show its whole total.
An unchanging service balances at every step, which proves the list complete. The kind of imbalance
hints at its cause, see :mod:`witw.flickr.completeness.verdict`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from witw.flickr.crawl.pages import Page

FEW = 10  # photos that may appear or vanish within one step


@dataclass
class Ledger:
    """Steps of one cell, or of all cells.

    Attributes:
        steps: Number of comparisons.
        over: Number of steps whose totals exceed the photos shown.
        under: Number of steps whose totals fall short of the photos shown.
        worst: Largest difference at a step [photos].
        over_sum: Sum of the differences of ``over`` [photos].
        under_sum: Sum of the differences of ``under`` [photos].
    """

    steps: int = 0
    over: int = 0
    under: int = 0
    worst: int = 0
    over_sum: int = 0
    under_sum: int = 0
    _total: int | None = None
    _shown: dict[str, int] = field(default_factory=dict)

    @property
    def unbalanced(self) -> int:
        """Number of unbalanced steps."""
        return self.over + self.under

    @property
    def missing(self) -> int:
        """Number of photos counted but never shown, over all steps.

        If totals waver, an excess at one step is offset by a deficit at the next, so sums are more
        reliable than single steps.
        """
        lost = self.over_sum - self.under_sum
        return lost if self.over_sum > 2 * self.under_sum else 0

    def note(self, difference: int) -> None:
        """Record one comparison: photos counted minus photos shown."""
        self.steps += 1
        self.over += difference > 0
        self.under += difference < 0
        self.worst = max(self.worst, abs(difference))
        self.over_sum += max(0, difference)
        self.under_sum += max(0, -difference)

    def gap(self, high: int, page: Page) -> float:
        """Return the share of all photos unaccounted for at the step to a page up to ``high``.

        Differences of a few photos count as 0.
        """
        left = 0 if self._total is None else abs(self._total - page.total - self._newer(high))
        return max(0, left - FEW) / max(self._total or 0, page.total, 1)

    def step(self, high: int, page: Page) -> None:
        """Compare the first page of the query that ends at ``high`` with the pages before."""
        # Some responses have no total.
        total = page.total if page.total >= len(page.entries) else None
        if self._total is not None and total is not None:
            self.note(self._total - total - self._newer(high))
        self._total, self._shown = total, {}
        self.more(page)

    def _newer(self, high: int) -> int:
        return sum(upload > high for upload in self._shown.values())

    def more(self, page: Page) -> None:
        """Add a further page of the same query."""
        self._shown |= {entry.id: entry.upload for entry in page.entries}

    def end(self) -> None:
        """Compare the last query's total with all photos shown for it."""
        if self._total is not None:
            self.note(self._total - len(self._shown))
        self.forget()

    def forget(self) -> None:
        """Forget the photos shown so far, so that nothing is compared with them."""
        self._total, self._shown = None, {}


def summed(ledgers: Iterable[Ledger]) -> Ledger:
    """Return the sum of several ledgers."""
    out = Ledger()
    for one in ledgers:
        out.steps += one.steps
        out.over += one.over
        out.under += one.under
        out.worst = max(out.worst, one.worst)
        out.over_sum += one.over_sum
        out.under_sum += one.under_sum
    return out
