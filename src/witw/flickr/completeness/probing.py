"""Send the probes of one search, and judge their answers against its list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from witw.flickr.completeness import probes
from witw.flickr.completeness.probes import Answer, Known, Probe, Probed
from witw.flickr.crawl.cover import Cover
from witw.flickr.crawl.journal import Journal
from witw.flickr.crawl.listing import Listing
from witw.flickr.crawl.pages import Page, Query, query_of
from witw.flickr.crawl.quadtree import Tree
from witw.flickr.crawl.service import Service


@dataclass
class Probing:
    """Probes of one search.

    Attributes:
        root: Query for the whole area, with the accuracy of the search.
        accuracies: Page by query, for each accuracy that the search does not use.
        service: Answers the queries.
        journal: Keeps the choice of queries, so that forgetting a photo does not change it.
        listing: Photos of the search.
        cover: Boxes of the area.
        questions: Digest of the search's queries, see ``journal.questions``.
        pages: Page of each probe sent.
    """

    root: Query
    accuracies: Mapping[Query, Page]
    service: Service
    journal: Journal
    listing: Listing
    cover: Cover
    questions: str
    pages: dict[Probe, Page] = field(default_factory=dict)

    def send(self, tree: Tree) -> None:
        """Send the probes chosen for the photos listed so far."""
        listed = [self.listing.photos[photo_id] for photo_id in sorted(tree.listed)]
        listed = [photo for photo in listed if self.root.box.holds(photo.lon, photo.lat)]

        def chosen() -> str:
            made = probes.plan(self.root, listed)
            return json.dumps([(kind, query.key) for kind, query in made])

        name = f"probes {bool(tree.listed or self.listing.hidden)} {self.questions}"
        noted = json.loads(self.journal.settled(name, chosen))
        asked = [Probe(kind, query_of(key)) for kind, key in noted]
        self.pages |= {probe: self.service.probe(probe.query) for probe in asked}
        self.pages |= {Probe("accuracy", query): page for query, page in self.accuracies.items()}

    def hidden_licenses(self, tree: Tree) -> list[int]:
        """Return the licences of which a query for one shows photos that the list lacks."""
        hidden = {
            answer.probe.query.licenses[0]
            for answer in self._judged(tree)
            if answer.hides and len(answer.probe.query.licenses) == 1
        }
        # Forgetting a photo must not change the search.
        noted = self.journal.settled(f"alone {self.questions}", lambda: json.dumps(sorted(hidden)))
        return [int(number) for number in json.loads(noted)]

    def summary(self, tree: Tree, slack: int) -> Probed:
        """Judge all answers by the final list.

        Args:
            tree: All steps of the search.
            slack: Number of photos that are counted but not listed, for known reasons.
        """
        return probes.summed(self._judged(tree), slack)

    def _judged(self, tree: Tree) -> list[Answer]:
        known = Known(self.listing.photos, tree.listed, self.cover.is_inside)
        return [probes.judge(probe, page, known) for probe, page in self.pages.items()]
