"""Estimate the imagery of a run for ``witw plan``: strips, gigabytes, unusable strips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from witw.config import Config
from witw.errors import UserError
from witw.geo import box_area_km2
from witw.imagery.choice import Choice

# Bytes per pixel of a UTM raster with overviews, DEFLATE at level 1: 1.37 bytes measured on
# synthetic imagery with the detail of WorldView's, plus a third for overviews.
BYTES_PER_PX = 1.8
RESULTS = Path("results")


@dataclass(frozen=True)
class Imagery:
    """All strips of some areas.

    Attributes:
        strips: number of strips.
        remote_bytes: size of the strips on servers.
        local_bytes: size of the local strips.
        utm_bytes: estimated size of the UTM rasters, for strips without blank edges.
        made_bytes: exact size of the existing UTM rasters.
        told: one sentence for each unusable strip.
    """

    strips: int
    remote_bytes: int
    local_bytes: int
    utm_bytes: int
    made_bytes: int
    told: list[str]

    @property
    def missing_bytes(self) -> int:
        """Bytes still to be written."""
        return max(0, self.utm_bytes - self.made_bytes)


def measured(config: Config, aois: Iterable[str]) -> Imagery:
    """Check and measure the strips of areas, as a run does before its first job."""
    choice = Choice(config, is_kept=False)
    try:
        config = choice.config  # finds the strips that have several places
    except UserError as error:
        return Imagery(0, 0, 0, 0, 0, [str(error)])
    names = [(aoi, strip.name) for aoi in aois for strip in config.aois[aoi].strips]
    reports = choice.look(names)
    good = {name: report for name, report in reports.items() if "told" not in report}
    return Imagery(
        strips=len(names),
        remote_bytes=sum(one["bytes"] for one in good.values() if one["is_remote"]),
        local_bytes=sum(one["bytes"] for one in good.values() if not one["is_remote"]),
        utm_bytes=sum(_utm_bytes(config, aoi, one) for (aoi, _), one in good.items()),
        made_bytes=sum(_size(RESULTS / a / "strips" / f"{s}.utm.tif") for a, s in names),
        told=list(dict.fromkeys(one["told"] for one in reports.values() if "told" in one)),
    )


def _utm_bytes(config: Config, aoi: str, report: dict[str, Any]) -> int:
    west, south, east, north = report["box_deg"]
    pixels = box_area_km2((west, south, east, north)) * 1e6 / config.aois[aoi].utm.gsd_m ** 2
    return round(pixels * BYTES_PER_PX)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def text(imagery: Imagery, gb: Sequence[str]) -> list[str]:
    """Describe the imagery in sentences.

    Args:
        imagery: all strips.
        gb: gigabytes of the strips on servers, of the local strips, and of the UTM rasters.
    """
    strips = f"{imagery.strips} strip{'s' * (imagery.strips != 1)}"
    lines = [
        f"Imagery: {strips}; {gb[0]} GB on servers, read once; {gb[1]} GB on this machine; about "
        f"{gb[2]} GB as UTM rasters."
    ]
    if imagery.told:
        lines.append(f"UNUSABLE and not counted: {len(imagery.told)} of {strips}:")
        lines += [f"  {sentence}" for sentence in imagery.told]
    return lines
