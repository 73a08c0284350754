"""Where areas lie to each other, and what their splits make of it. Names and boxes only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from witw.errors import UserError
from witw.geo import EARTH_RADIUS_M

SPLITS = ("train", "val", "test")
M_PER_DEGREE = math.pi * EARTH_RADIUS_M / 180


@dataclass(frozen=True)
class Neighbours:
    """Two areas of different splits.

    Attributes:
        names: of the two, sorted.
        gap_m: how far their boxes lie apart, along the meridian or along the parallel, whichever
            is more [m]; 0: they touch, or overlap.
        is_overlap: whether they share ground.
    """

    names: tuple[str, str]
    gap_m: float
    is_overlap: bool


def neighbours(
    boxes: Mapping[str, Sequence[float]], groups: Mapping[str, str]
) -> Iterator[Neighbours]:
    """Every two areas of different groups.

    Args:
        boxes: west, south, east, north of each area, EPSG:4326 [degrees].
        groups: split or city of each.
    """
    for one, other in combinations(sorted(boxes), 2):
        if groups[one] != groups[other]:
            yield _between(one, other, boxes[one], boxes[other])


def _between(one: str, other: str, a: Sequence[float], b: Sequence[float]) -> Neighbours:
    # East or west, whichever way round the Earth is the shorter.
    east, west = (b[0] - a[2]) % 360, (a[0] - b[2]) % 360
    same_lon = a[0] < b[2] and b[0] < a[2]
    apart_lon = 0.0 if same_lon else min(east, west)
    apart_lat = max(b[1] - a[3], a[1] - b[3], 0.0)
    furthest = max(abs(v) for v in (a[1], a[3], b[1], b[3]))
    east_m = apart_lon * M_PER_DEGREE * math.cos(math.radians(furthest))
    shared = same_lon and a[1] < b[3] and b[1] < a[3]
    return Neighbours((one, other), max(east_m, apart_lat * M_PER_DEGREE), shared)


def check_apart(
    boxes: Mapping[str, Sequence[float]], splits: Mapping[str, str], source: str
) -> None:
    """Refuse areas of different splits that share ground: the model would be tested on its lesson.

    Args:
        boxes: west, south, east, north of each area, EPSG:4326 [degrees].
        splits: of each.
        source: name of the config file.

    Raises:
        UserError: two do; names both, and both splits.
    """
    for pair in neighbours(boxes, splits):
        if pair.is_overlap:
            one, other = pair.names
            raise UserError(
                f"{source}: `bbox_deg` of area {one!r} ({splits[one]}) and area {other!r} "
                f"({splits[other]}) overlap, so places of one split are seen in the other; move "
                "one box away from the other, or give both the same `split`."
            )


def shared_strips(strips: Mapping[str, Sequence[str]], splits: Mapping[str, str]) -> list[str]:
    """A sentence for every strip that areas of different splits name.

    Args:
        strips: paths of each area.
        splits: of each.
    """
    users: dict[str, list[str]] = {}
    for name, paths in strips.items():
        for path in dict.fromkeys(paths):
            users.setdefault(path, []).append(name)
    return [
        f"{path} is a strip of {_and([f'{n} ({splits[n]})' for n in names])}: right only where it "
        "covers both boxes; is one of the areas to have another strip?"
        for path, names in users.items()
        if len({splits[name] for name in names}) > 1
    ]


def no_training(splits: Mapping[str, str]) -> str:
    """Why no network is trained, as a sentence; empty: one is.

    Args:
        splits: of each area.
    """
    absent = [split for split in SPLITS if split not in splits.values()]
    if not absent:
        return ""
    settings = " or ".join(f"`split: {split}`" for split in absent)
    return (
        f"No model is trained or tested, as no area has {settings}: the run ends with the data set "
        "and its report. To train, give at least one area each of `split: train`, `val` and `test`."
    )


def card_sentence(areas: Mapping[str, Mapping[str, Any]]) -> str:
    """What the data card says of the splits, from where the areas lie.

    Args:
        areas: ``bbox_deg``, ``split``, ``chip_px`` and ``gsd_m`` of each, by name.
    """
    splits = {name: str(area["split"]) for name, area in areas.items()}
    used = [split for split in SPLITS if split in splits.values()]
    if len(used) < 2:
        return f"All areas are in the split `{_and(used)}`."
    boxes = {name: area["bbox_deg"] for name, area in areas.items()}
    chip_m = max(float(area["chip_px"] * area["gsd_m"]) for area in areas.values())
    pairs = sorted(neighbours(boxes, splits), key=lambda pair: (pair.gap_m, pair.names))
    close = [pair for pair in pairs if pair.is_overlap or pair.gap_m < chip_m]
    if close:
        told = _and([_told(pair, splits) for pair in close])
        return (
            f"Splits are by whole area, but not apart: {told}. A chip is {chip_m:.0f} m wide, so "
            "places of one split were seen in the other."
        )
    nearest = pairs[0]
    one, other = (f"`{name}` ({splits[name]})" for name in nearest.names)
    return (
        f"Splits are by whole area: {_unseen(used)}. The nearest two areas of different splits, "
        f"{one} and {other}, lie at least {nearest.gap_m / 1000:,.1f} km apart."
    )


def _unseen(used: Sequence[str]) -> str:
    *others, last = used
    return f"no place of `{last}` was seen in {' or '.join(f'`{split}`' for split in others)}"


def _told(pair: Neighbours, splits: Mapping[str, str]) -> str:
    one, other = (f"`{name}` ({splits[name]})" for name in pair.names)
    apart = "overlap" if pair.is_overlap else f"lie {pair.gap_m:.0f} m apart"
    return f"{one} and {other} {apart}"


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
