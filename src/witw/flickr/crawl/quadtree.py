"""List every photo of a box through a search that shows at most 4,000 results per query.

The module is pure: the service is a callable. Results come newest upload first, and a query can end
at an upload date. One page of a box therefore contains *all* of its photos down to the page's
oldest upload, and the next query, for the same box up to that date (inclusive), continues without a
gap. The list is complete because of this order. Totals are only approximate: they decide where
boxes are split and prove nothing. If the order does not hold, first boxes, then dates, then
licences are split until each piece fits into 4,000 results. Photos that fit nowhere are counted as
unreachable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.cover import Cover
from witw.flickr.crawl.ledger import Ledger
from witw.flickr.crawl.pages import REACH, Ask, Entry, Page, Query
from witw.flickr.crawl.pool import spread

# A page that leaves more than this share unaccounted for is queried again: totals waver by a few
# percent.
GAP = 0.08
AGAIN = 50  # marks that query as its own


class Node(NamedTuple):
    """A piece of the search that is still to be visited: box, dates and licences."""

    name: str
    box: Box
    high: int
    licenses: tuple[int, ...]
    low: int = 1
    is_ordered: bool = True


@dataclass
class Cell:
    """A visited node; its fields, except ``box`` and ``ledger``, are columns of ``cells``."""

    cell: str
    box: Box
    total: int = 0
    listed: int = 0
    calls: int = 0
    is_leaf: bool = True
    is_ordered: bool = True
    unreachable: int = 0
    ledger: Ledger = field(default_factory=Ledger)


@dataclass(frozen=True)
class WalkRules:
    """Parameters of a tree walk.

    Attributes:
        snapshot: Latest upload date, for every query [s].
        box_total: A box with more photos is split into four.
        accuracy: Accuracy to send, see :class:`witw.flickr.crawl.pages.Query`.
        take: Number of the repetition, see the same class.
        cut: Position of the cut, see :meth:`witw.flickr.crawl.boxes.Box.quarters`.
        workers: Number of nodes visited in parallel.
        cover: Shape of the area, along which boxes are cut; None if the area is the box.
    """

    snapshot: int
    box_total: int
    accuracy: int = 0
    take: int = 0
    cut: int = 8
    workers: int = 1
    cover: Cover | None = None


@dataclass(frozen=True)
class Tree:
    """Result of a walk; it does not depend on the order of the calls.

    Attributes:
        listed: Maps the id of each photo found to the name of its cell.
        cells: Cells, sorted by name.
    """

    listed: dict[str, str]
    cells: list[Cell]

    @property
    def calls(self) -> int:
        """Number of calls made."""
        return sum(cell.calls for cell in self.cells)

    @property
    def is_proved(self) -> bool:
        """Whether totals and photos shown agree in every cell, so that nothing can be missing."""
        return all(
            cell.is_ordered
            and not cell.unreachable
            and cell.ledger.steps
            and not cell.ledger.unbalanced
            for cell in self.cells
        )

    def __add__(self, other: Tree) -> Tree:
        """Return the union of both trees; photos listed in both belong to the first."""
        return Tree(other.listed | self.listed, self.cells + other.cells)


def walk(ask: Ask, box: Box, licenses: Sequence[int], rules: WalkRules, name: str = "r") -> Tree:
    """List all photos in ``box``; ``name`` is the name of its cell."""
    root = Node(name, box, rules.snapshot, tuple(licenses))

    def visit(node: Node) -> tuple[_Visit, list[Node]]:
        done = _Visit(ask, rules, node)
        return done, done.run()

    visits = sorted(spread([root], visit, rules.workers), key=lambda done: done.node.name)
    listed: dict[str, str] = {}
    for done in visits:
        for entry in done.entries:
            if not entry.flaw and entry.id not in listed:
                listed[entry.id] = done.node.name
                done.cell.listed += 1
    cells = {done.node.name: done.cell for done in visits}
    for done in visits:
        _balance(done, cells)
    return Tree(listed, list(cells.values()))


def _balance(done: _Visit, cells: dict[str, Cell]) -> None:
    """Compare a split box's total with the photos on its page and in its quarters."""
    quarters = [cells[node.name] for node in done.quarters]
    # Totals of the parts cut off by a shape are unknown.
    if quarters and not done.is_trimmed:
        newer = sum(entry.upload > done.quarters[0].high for entry in done.entries)
        done.cell.ledger.note(done.cell.total - newer - sum(cell.total for cell in quarters))


def _mark(number: int) -> str:
    """Return the name of a piece within its box; all such names are distinct."""
    return str(number) if number < 10 else f"({number})"


class _DisorderError(Exception):
    """A page is not sorted by upload date, newest first."""


class _Visit:
    """Visit of one node: its pages, its photos and the ledger of its steps."""

    def __init__(self, ask: Ask, rules: WalkRules, node: Node) -> None:
        self.node = node
        self.cell = Cell(node.name, node.box, is_ordered=node.is_ordered)
        self.entries: list[Entry] = []
        self.quarters: list[Node] = []
        self.is_trimmed = False
        self._ask = ask
        self._rules = rules
        self._below: list[Node] = []

    def run(self) -> list[Node]:
        """Split the node or list its photos; return the nodes that are still to be visited."""
        if not self.node.is_ordered:
            self._plain()
        else:
            try:
                self._ordered()
            except _DisorderError:
                # Photos assumed complete by the enclosing boxes are in doubt too.
                self._leave("p", high=self._rules.snapshot)
        return self._below

    def _ordered(self) -> None:
        page = self._newest(self.node.high)
        quarters = self._along(page)
        if not quarters and page.total > self._rules.box_total:
            quarters = self._quarters()
        if quarters:
            # All newer photos are known now, so the quarters need not repeat them.
            oldest = min(page.uploads, default=self.node.high)
            self.quarters = [
                self.node._replace(name=self.node.name + _mark(n), box=box, high=oldest)
                for n, box in enumerate(quarters)
            ]
            self._below += self.quarters
            self.cell.is_leaf = False
            return
        high = self.node.high
        while high > 0 and not page.is_last():
            newest, oldest = page.uploads[0], page.uploads[-1]
            high = oldest if newest > oldest else self._second(page)
            if high > 0:
                page = self._newest(high)
        self.cell.ledger.end()

    def _quarters(self) -> list[Box]:
        """Return the quarters of the box, clipped to the area."""
        boxes, cover = self.node.box.quarters(self._rules.cut), self._rules.cover
        if cover is None:
            return boxes
        self.is_trimmed = not cover.is_inside(self.node.box)
        return [box for one in boxes if (box := cover.trimmed(one)) is not None]

    def _along(self, page: Page) -> list[Box]:
        """Return the box cut along the area's shape, if that saves calls."""
        cover = self._rules.cover
        if cover is None or page.is_last():
            return []
        points = [(entry.lon, entry.lat) for entry in page.entries]
        pieces = cover.pieces(self.node.box, page.total, points)
        self.is_trimmed = bool(pieces)
        return pieces

    def _second(self, page: Page) -> int:
        """List the photos of one second that fills a page; return the date to continue from.

        Only this method uses page offsets, because a date cannot point inside a second. If the
        offsets end too, at 4,000 results, the second is split into nodes of its own.
        """
        second = page.uploads[0]
        for number in range(2, REACH // page.per_page + 1):
            before, page = page, self._page(second, number)
            if not page.entries:
                return second - 1
            if page.ids == before.ids:
                break
            if not page.is_in_order(second):
                raise _DisorderError
            if page.is_last(number):
                return 0
            if page.uploads[-1] < second:
                return page.uploads[-1]
        self._leave(f"@{second}/", high=second, low=second)
        self.cell.ledger.forget()
        return second - 1

    def _plain(self) -> None:
        """List without relying on the order: read all pages, or split a node with too many."""
        page = self._page(self.node.high, 1)
        self.cell.total = page.total
        # Totals waver, so only one far above the limit justifies skipping the pages.
        if page.total > REACH and self._split(page):
            return
        last = REACH // page.per_page
        for number in range(2, last + 1):
            if page.is_last(number - 1):
                self._compare()
                return
            before, page = page, self._page(self.node.high, number)
            if page.ids == before.ids:
                break
        else:
            if page.is_last(last) or self._split(page):
                return
        self.cell.unreachable = max(0, self.cell.total - len({e.id for e in self.entries}))

    def _compare(self) -> None:
        """Compare the photos shown on all pages with the total on the first."""
        shown = len({entry.id for entry in self.entries})
        if self.cell.total >= shown:
            self.cell.ledger.note(self.cell.total - shown)

    def _split(self, page: Page) -> bool:
        """Split the node by box, else by dates, else by licences, if that is possible."""
        node = self.node
        if quarters := self._quarters():
            for number, box in enumerate(quarters):
                self._leave(str(number), box=box)
        elif node.low < node.high and all(node.low <= u <= node.high for u in page.uploads):
            middle = (node.low + node.high) // 2
            self._leave("a", low=middle + 1)
            self._leave("b", high=middle)
        elif len(node.licenses) > 1:
            for number in node.licenses:
                self._leave(f"L{number}", licenses=(number,))
        self.cell.is_leaf = len(self._below) == 0
        return not self.cell.is_leaf

    def _leave(self, name: str, **changes: object) -> None:
        piece = {"name": self.node.name + name, "is_ordered": False, **changes}
        self._below.append(self.node._replace(**piece))  # type: ignore[arg-type]

    def _newest(self, high: int) -> Page:
        """Return the first page up to ``high``, queried twice if it disagrees with the totals."""
        page, ledger = self._page(high, 1), self.cell.ledger
        if max(ledger.gap(high, page), page.unshown) > GAP:
            # One wrong response would lose all older photos. The photos of both responses are kept.
            again = self._page(high, 1, AGAIN)
            page = min(page, again, key=lambda one: (ledger.gap(high, one), one.unshown))
        # A persistent gap stems from a date on the previous page that is out of order.
        if not page.is_in_order(high) or ledger.gap(high, page) > GAP:
            raise _DisorderError
        if not self.cell.total:
            self.cell.total = page.total
        self.cell.ledger.step(high, page)
        return page

    def _page(self, high: int, number: int, again: int = 0) -> Page:
        node, rules = self.node, self._rules
        take = rules.take + again
        page = self._ask(
            Query(node.box, high, node.licenses, number, node.low, rules.accuracy, take)
        )
        self.cell.calls += 1
        self.entries += page.entries
        if number > 1:
            self.cell.ledger.more(page)
        return page
