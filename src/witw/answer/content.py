"""What an answer says: numbers and sentences, the same in the terminal, on the page, in files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from witw.tables import MADE

if TYPE_CHECKING:
    from witw.cvig.locating.located import Located, Place

LEVELS = (50, 80, 95)  # regions that are named [%]
PLACES = 5
NAMED = 12  # cities
COMPASS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
WEAK_PCT = 70  # of strangers let through: from here on the measure of presence says little
SURE = 0.1  # below, even a weak measure says that a photo is not of the area
LEAD = (
    "A lead, not proof: the network compares shapes and colours with old imagery. "
    "Confirm the place by other means before anybody relies on it."
)


@dataclass(frozen=True)
class Known:
    """What is known of a photo beside its picture; nothing of it is used in the search.

    Attributes:
        place: geotag in the area's zone [m].
        note: sentence about the photo.
        credit: whose photo it is.
    """

    place: tuple[float, float] | None = None
    note: str = ""
    credit: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether the photo was taken in the area at all.

    Attributes:
        kind: ``not_here``, ``perhaps`` or ``unknown``.
        title: a few words.
        detail: sentences.
    """

    kind: str
    title: str
    detail: str


def title(found: Located) -> str:
    """Names of the photos."""
    names = [photo.name.rsplit("/", 1)[-1] for photo in found.photos]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def area_name(found: Located) -> str:
    """The area as people write it."""
    return found.area.replace("_", " ").title() if found.area.islower() else found.area


def km2(found: Located, level: int) -> float:
    """Ground that the region of a level covers [km2]."""
    return float(found.region(level / 100).sum()) * found.grid.step_m**2 / 1e6


def percent(share: float) -> str:
    """A share as a percentage of two digits; nearly nothing and nearly all as such."""
    value = 100 * share
    if not value:
        return "0 %"
    if 0 < value < 0.01:
        return "below 0.01 %"
    if value > 99.5 and share < 1:
        return "over 99 %"
    if value >= 99.5:
        return "100 %"
    return f"{value:.0f} %" if value >= 9.95 else f"{value:#.2g} %"


def looking(heading_deg: float) -> str:
    """A heading in words."""
    if math.isnan(heading_deg):
        return "heading unknown"
    turned = heading_deg % 360
    return f"looking {COMPASS[round(turned / 45) % 8]} ({turned:.0f}\u00b0)"


def coordinates(place: Place) -> str:
    """Latitude and longitude to a decimetre, as maps take them."""
    return f"{place.lat:.6f}, {place.lon:.6f}"


def region_sentence(found: Located, level: int = 80) -> str:
    """How much of the area a region covers."""
    share = found.area_share(level / 100)
    return (
        f"The {level} % region covers {percent(share)} of the area searched, "
        f"{km2(found, level):.3g} km\u00b2."
    )


def verdict(found: Located) -> Verdict:
    """Whether the photo was taken in the area at all."""
    told = found.facts.get("presence")
    if not told or math.isnan(found.here):
        detail = (
            "Nobody has measured for this model whether it can tell photos of the area from "
            "others: the map supposes that the photo was taken in it."
        )
        return Verdict("unknown", "If it was taken here at all", detail)
    odds = f"{100 * found.here:.0f} %, with even odds beforehand"
    through = let_through(told)
    measure = (
        f"The measure keeps 95 % of an area's own photos and lets through {through:.0f} % of "
        "photos of other cities"
    )
    measure += ": it can hardly tell them apart." if through >= WEAK_PCT else "."
    if found.here < float(told["threshold"]) and found.here < 0.5:
        detail = f"How likely it was taken in the area searched: {odds}. {measure}"
        # What can hardly tell does not judge, unless it is all but certain, as of an indoor photo.
        if through >= WEAK_PCT and found.here >= SURE:
            return Verdict("perhaps", "It may have been taken elsewhere", detail)
        return Verdict("not_here", "Probably not here", detail)
    detail = f"How likely it was taken in the area searched at all: {odds}. {measure}"
    return Verdict("perhaps", "It may have been taken here", detail)


def let_through(told: Mapping[str, Any]) -> float:
    """Share of other cities' photos that reach the threshold; where counted, of cities unseen."""
    counted = (told.get("test") or {}).get("strangers_pct")
    return float(told["strangers_pct"] if counted is None else counted)


def warnings(found: Located) -> list[str]:
    """What makes an answer doubtful."""
    out = []
    for n, photo in enumerate(found.photos):
        name = photo.name.rsplit("/", 1)[-1]
        if n < len(found.scenes) and found.scenes[n].is_indoor:
            scene = found.scenes[n].name.strip("/").replace("_", " ")
            out.append(
                f"{name} shows an indoor scene ({scene}); the network has learned from outdoor "
                "photos alone."
            )
        if n < len(found.unusual) and found.unusual[n]:
            out.append(f"{name} looks unlike all photos that the network has learned from.")
        if photo.fov_source == "unknown":
            out.append(
                f"How wide {name} sees is not known; {found.fov_deg[n]:.0f}\u00b0 along its long "
                "side are assumed."
            )
    return out


def trust(found: Located) -> list[str]:
    """How far to trust it: what the model knows, how often such maps are right, that it may err."""
    out = []
    if learned := _learned(found.facts):
        out.append(learned)
    if not found.scenes:
        out.append(
            "Indoor photos are not recognized: no Places365 checkpoint was given (--scenes)."
        )
    told = found.facts.get("reliability")
    if told:
        one = as_sharp(told, 100 * found.area_share(0.8))
        out.append(
            f"Counted on {one['n']:,} photos of cities never seen whose maps were about as sharp: "
            f"{one['first']:.0f} % were taken within {told['right_m']:.0f} m of the first place, "
            f"{one['five']:.0f} % within {told['right_m']:.0f} m of one of five, "
            f"{one['held_80']:.0f} % inside the 80 % region."
        )
    else:
        out.append("How often maps as sharp are right has not been counted for this model.")
    out.append(LEAD)
    return out


def as_sharp(told: Mapping[str, Any], region_pct: float) -> Mapping[str, Any]:
    """Figures of the photos whose maps are as sharp: of their class, or of all.

    Args:
        told: an evaluation's ``reliability``.
        region_pct: share of the area that the 80 % region covers [%].
    """
    classes: list[Mapping[str, Any]] = list(told["classes"])
    for one in classes[:-1]:
        if region_pct <= one["up_to_pct"]:
            return one
    if classes:
        return classes[-1]
    everything: Mapping[str, Any] = told["all"]
    return everything


def _learned(facts: Mapping[str, Any]) -> str:
    """What the model was trained on."""
    areas = [area for area in facts.get("areas", {}).values() if area["split"] == "train"]
    if not areas:
        return ""
    cities = sorted({str(area["city"]) for area in areas})
    named = ", ".join(cities[:NAMED])
    if len(cities) > NAMED:
        named += f" and {len(cities) - NAMED} more"
    pairs = sum(int(area.get("pairs", 0)) for area in areas)
    drawn = all(area.get("satellite") == MADE for area in areas)
    return f"The model was trained on {pairs:,} photos of {named}" + (
        ", cities that a program drew." if drawn else "."
    )
