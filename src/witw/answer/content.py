"""Numbers and sentences of an answer, shared by the terminal, the page and the files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from witw.tables import MADE

if TYPE_CHECKING:
    from witw.cvig.locating.located import Located, Place

LEVELS = (50, 80, 95)  # levels of the regions in the files [%]
PLACES = 5
NAMED = 12  # maximum number of cities to name
COMPASS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
WEAK_PCT = 70  # share of other cities' photos accepted, from which the measure is weak
SURE = 0.1  # presence below which even a weak measure says "not here"
LEAD = (
    "A lead, not proof: the network compares shapes and colours with old imagery. "
    "Confirm the place by other means before you rely on it."
)


@dataclass(frozen=True)
class Known:
    """Facts about a photo that the search does not use.

    Attributes:
        place: geotag in the area's zone [m].
        note: sentence about the photo.
        credit: attribution of the photo.
    """

    place: tuple[float, float] | None = None
    note: str = ""
    credit: str = ""


@dataclass(frozen=True)
class Verdict:
    """Statement on whether the photo was taken in the area at all.

    Attributes:
        kind: ``not_here``, ``perhaps`` or ``unknown``.
        title: the statement in a few words.
        detail: explanation in sentences.
    """

    kind: str
    title: str
    detail: str


def title(found: Located) -> str:
    """Return the name of the photo, or of the first photo and the number of others."""
    names = [photo.name.rsplit("/", 1)[-1] for photo in found.photos]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def area_name(found: Located) -> str:
    """Return the area's name in title case."""
    return found.area.replace("_", " ").title() if found.area.islower() else found.area


def km2(found: Located, level: int) -> float:
    """Return the ground that the region of a level covers [km2]."""
    return float(found.region(level / 100).sum()) * found.grid.step_m**2 / 1e6


def percent(share: float) -> str:
    """Format a share as a percentage with two digits, or as "below 0.01 %" or "over 99 %"."""
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
    """Describe a heading in words."""
    if math.isnan(heading_deg):
        return "heading unknown"
    turned = heading_deg % 360
    return f"looking {COMPASS[round(turned / 45) % 8]} ({turned:.0f}\u00b0)"


def coordinates(place: Place) -> str:
    """Format latitude and longitude to a decimetre, as map services accept them."""
    return f"{place.lat:.6f}, {place.lon:.6f}"


def region_sentence(found: Located, level: int = 80) -> str:
    """Describe the size of a region in a sentence."""
    share = found.area_share(level / 100)
    return (
        f"The {level} % region covers {percent(share)} of the searched area, "
        f"{km2(found, level):.3g} km\u00b2."
    )


def verdict(found: Located) -> Verdict:
    """Return the statement on whether the photo was taken in the area at all."""
    told = found.facts.get("presence")
    if not told or math.isnan(found.here):
        detail = (
            "It was not measured whether this model can distinguish photos of the area from "
            "others. The map assumes that the photo was taken in the area."
        )
        return Verdict("unknown", "It may have been taken elsewhere", detail)
    through = let_through(told)
    measure = (
        f"Probability that it was taken in the searched area: {100 * found.here:.0f} %, with even "
        f"odds beforehand. The measure accepts 95 % of an area's own photos and {through:.0f} % of "
        "photos of other cities"
    )
    detail = measure + (": it can hardly tell them apart." if through >= WEAK_PCT else ".")
    if found.here < float(told["threshold"]) and found.here < 0.5:
        # A weak measure does not judge unless it is almost certain, as with an indoor photo.
        if through >= WEAK_PCT and found.here >= SURE:
            return Verdict("perhaps", "It may have been taken elsewhere", detail)
        return Verdict("not_here", "Probably not here", detail)
    return Verdict("perhaps", "It may have been taken here", detail)


def let_through(told: Mapping[str, Any]) -> float:
    """Return the share of other cities' photos above the threshold, on unseen cities if counted."""
    counted = (told.get("test") or {}).get("strangers_pct")
    return float(told["strangers_pct"] if counted is None else counted)


def warnings(found: Located) -> list[str]:
    """Return the reasons to doubt an answer."""
    out = []
    for n, photo in enumerate(found.photos):
        name = photo.name.rsplit("/", 1)[-1]
        if n < len(found.scenes) and found.scenes[n].is_indoor:
            scene = found.scenes[n].name.strip("/").replace("_", " ")
            out.append(
                f"{name} shows an indoor scene ({scene}), but the network was trained on outdoor "
                "photos only."
            )
        if n < len(found.unusual) and found.unusual[n]:
            out.append(f"{name} looks unlike the photos that the network was trained on.")
        if photo.fov_source == "unknown":
            out.append(
                f"The field of view of {name} is unknown; {found.fov_deg[n]:.0f}\u00b0 along its "
                "long side is assumed."
            )
    return out


def trust(found: Located) -> list[str]:
    """Describe the reliability of an answer: training data, past accuracy, and a caution."""
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
            f"Of {one['n']:,} photos of unseen cities with about equally sharp maps, "
            f"{one['first']:.0f} % were taken within {told['right_m']:.0f} m of the first place, "
            f"{one['five']:.0f} % within {told['right_m']:.0f} m of one of the five places, and "
            f"{one['held_80']:.0f} % inside the 80 % region."
        )
    else:
        out.append("The accuracy of equally sharp maps was not measured for this model.")
    out.append(LEAD)
    return out


def as_sharp(told: Mapping[str, Any], region_pct: float) -> Mapping[str, Any]:
    """Return the figures of the photos with equally sharp maps: of their class, or of all photos.

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
    """Describe the training data of the model."""
    areas = [area for area in facts.get("areas", {}).values() if area["split"] == "train"]
    if not areas:
        return ""
    cities = sorted({str(area["city"]) for area in areas})
    named = ", ".join(cities[:NAMED])
    if len(cities) > NAMED:
        named += f" and {len(cities) - NAMED} more"
    pairs = sum(int(area.get("pairs", 0)) for area in areas)
    is_made = all(area.get("satellite") == MADE for area in areas)
    kind = "the synthetic cities " if is_made else ""
    return f"The model was trained on {pairs:,} photos of {kind}{named}."
