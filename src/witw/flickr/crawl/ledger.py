"""Ledger of a search: totals in the answers against photos shown.

Between two questions about one box, the second up to an earlier date, the total must fall by just
the photos that the first showed newer than that date; and the last page must show all that its
total says. A service that stands still balances at every step, which proves the list complete. One
that does not is told by how it fails: see :mod:`witw.flickr.crawl.verdict`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from witw.flickr.crawl.pages import Page

FEW = 10  # photos that may come or go at a step


@dataclass
class Ledger:
    """Steps of one cell, or of all.

    Attributes:
        steps: comparisons made.
        over: unbalanced steps whose totals say more than was shown.
        under: unbalanced steps whose totals say less than was shown.
        worst: largest such difference [photos].
        over_sum: sum of the differences of ``over`` [photos].
        under_sum: sum of those of ``under`` [photos].
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
        """Steps that do not balance."""
        return self.over + self.under

    @property
    def missing(self) -> int:
        """Photos that are counted but shown to nobody, by all steps together.

        Where totals waver, what one step has too much the next has too little, and the sums say
        nothing but that.
        """
        lost = self.over_sum - self.under_sum
        return lost if self.over_sum > 2 * self.under_sum else 0

    def note(self, difference: int) -> None:
        """Record one comparison: photos counted less photos shown."""
        self.steps += 1
        self.over += difference > 0
        self.under += difference < 0
        self.worst = max(self.worst, abs(difference))
        self.over_sum += max(0, difference)
        self.under_sum += max(0, -difference)

    def gap(self, high: int, page: Page) -> float:
        """Share of all photos that the step to a page up to ``high`` would leave unaccounted for.

        A few photos are no gap.
        """
        left = 0 if self._total is None else abs(self._total - page.total - self._newer(high))
        return max(0, left - FEW) / max(self._total or 0, page.total, 1)

    def step(self, high: int, page: Page) -> None:
        """Compare the first page of the question that ends at ``high`` with those before."""
        # Some answers do not say how many there are.
        total = page.total if page.total >= len(page.entries) else None
        if self._total is not None and total is not None:
            self.note(self._total - total - self._newer(high))
        self._total, self._shown = total, {}
        self.more(page)

    def _newer(self, high: int) -> int:
        return sum(upload > high for upload in self._shown.values())

    def more(self, page: Page) -> None:
        """Take in a further page of the same question."""
        self._shown |= {entry.id: entry.upload for entry in page.entries}

    def end(self) -> None:
        """Compare the last question's total with all that was shown for it."""
        if self._total is not None:
            self.note(self._total - len(self._shown))
        self.forget()

    def forget(self) -> None:
        """Compare nothing with what was shown so far."""
        self._total, self._shown = None, {}


def summed(ledgers: Iterable[Ledger]) -> Ledger:
    """All accounts as one."""
    out = Ledger()
    for one in ledgers:
        out.steps += one.steps
        out.over += one.over
        out.under += one.under
        out.worst = max(out.worst, one.worst)
        out.over_sum += one.over_sum
        out.under_sum += one.under_sum
    return out
