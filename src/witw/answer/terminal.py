"""Formats an answer for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from witw.answer import content

if TYPE_CHECKING:
    from witw.cvig.locating.located import Located


def lines(found: Located) -> list[str]:
    """Return the lines of an answer: the best places, the region, and their reliability."""
    grid = found.grid
    said = content.verdict(found)
    out = [
        f"{content.title(found)}, in {content.area_name(found)}: "
        f"{len(grid.cells):,} cells of {grid.step_m:.0f} m",
        "",
    ]
    out += [
        f"  {place.rank}  {content.coordinates(place):<24} "
        f"{content.looking(place.heading_deg[0]):<20} {content.percent(place.probability):>8}"
        for place in found.places(content.PLACES)
    ]
    out += ["", content.region_sentence(found), f"{said.title}. {said.detail}"]
    out += [*content.warnings(found), *content.trust(found)]
    return out
