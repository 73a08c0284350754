"""Writes answers: a folder of files for each, and pages that show several."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from witw import files
from witw.answer import content, exports, page
from witw.answer.content import Known
from witw.answer.page import NOTHING, Shown

if TYPE_CHECKING:
    from witw.cvig.locating.located import Located

ON_A_PAGE = 40  # answers per page
PAGE = "answer.html"
NAMES = ("probability.tif", "places.geojson", "regions.geojson", "places.kml")


def files_of(folder: Path, found: Located) -> list[Path]:
    """Write an answer's files for a GIS.

    Returns:
        ``probability.tif``, ``places.geojson``, ``regions.geojson`` and ``places.kml``.
    """
    tif, places, regions, kml = (folder / name for name in NAMES)
    exports.write_tif(tif, found)
    files.write_json(places, exports.places(found))
    shapes = exports.region_shapes(found)
    # On one line: one line per corner would take three times as many bytes.
    told = json.dumps(exports.region_features(found, shapes), sort_keys=True, allow_nan=False)
    files.write_text(regions, told + "\n")
    files.write_text(kml, exports.kml(found, shapes))
    return [tif, places, regions, kml]


@dataclass
class Folder:
    """A folder that collects answers.

    Each answer has its own subfolder, named after the photo. :meth:`close` writes the last page.

    Attributes:
        path: the folder.
        notice: sentence at the end of a page, such as the imagery's licence.
    """

    path: Path
    notice: str = ""
    _shown: list[Shown] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _pages: list[Path] = field(default_factory=list)

    def add(self, found: Located, known: Known = NOTHING) -> Path:
        """Write an answer's files; return its folder."""
        name = _free(_plain(content.title(found)), self._names)
        self._names.add(name.casefold())
        files_of(self.path / name, found)
        self._shown.append(Shown(found, known))
        if len(self._shown) == ON_A_PAGE:
            self._turn()
        return self.path / name

    def close(self) -> list[Path]:
        """Write the remaining answers; return all pages, of which the first is ``answer.html``."""
        if self._shown:
            self._turn()
        return self._pages

    def _turn(self) -> None:
        number = len(self._pages) + 1
        path = self.path / (PAGE if number == 1 else f"answer-{number}.html")
        files.write_text(path, page.render(self._shown, self.notice))
        self._pages.append(path)
        self._shown.clear()


def new_folder(above: Path, found: Located) -> Path:
    """Create a new folder for an answer, named after its photo."""
    above.mkdir(parents=True, exist_ok=True)
    taken = {path.name.casefold() for path in above.iterdir()}
    path = above / _free(_plain(content.title(found)), taken)
    path.mkdir()
    return path


def _plain(name: str) -> str:
    """Convert a name to one that any file system accepts."""
    stem = re.sub(r"(?<=.)\.\w{1,5}$", "", name)
    kept = re.sub(r"[^\w .()+-]+", "_", stem).strip(" ._")[:80]
    return kept or "photo"


def _free(name: str, taken: set[str]) -> str:
    """Return the name, with the smallest number appended that makes it unused."""
    candidate, number = name, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
