"""Where areas lie to each other, and what their splits make of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import shapely

from witw.errors import UserError
from witw.geo import EARTH_RADIUS_M
from witw.ground import shapes
from witw.ground.shapes import Ground

SPLITS = ("train", "val", "test")
M_PER_DEGREE = math.pi * EARTH_RADIUS_M / 180


@dataclass(frozen=True)
class Neighbours:
    """Two areas of different splits.

    Attributes:
        names: of the two, sorted.
        gap_m: how far they lie apart at least, boxes along the meridian or along the parallel,
            whichever is more [m]; 0: they touch, or overlap.
        is_overlap: whether they share ground.
    """

    names: tuple[str, str]
    gap_m: float
    is_overlap: bool


def neighbours(grounds: Mapping[str, Ground], groups: Mapping[str, str]) -> Iterator[Neighbours]:
    """Yield every two areas of different groups.

    Args:
        grounds: where each area lies.
        groups: split or city of each.
    """
    for one, other in combinations(sorted(grounds), 2):
        if groups[one] != groups[other]:
            yield between((one, other), grounds[one], grounds[other])


def between(names: tuple[str, str], one: Ground, other: Ground) -> Neighbours:
    """Compare the boxes of two areas and, where these meet, their shapes."""
    by_box = _boxes(names, one.bbox_deg, other.bbox_deg)
    if not by_box.is_overlap or (one.geometry is None and other.geometry is None):
        return by_box
    a, b = one.polygons, other.polygons
    if a.intersects(b) and a.intersection(b).area > 0:
        return by_box
    # Degrees of longitude at their shortest, so that areas lie at least so far apart.
    furthest = max(abs(v) for ground in (one, other) for v in ground.bbox_deg[1::2])
    scale = np.array([math.cos(math.radians(furthest)), 1.0]) * M_PER_DEGREE
    a, b = (shapely.transform(shape, lambda xy: xy * scale) for shape in (a, b))
    return Neighbours(names, float(a.distance(b)), False)


def _boxes(names: tuple[str, str], a: Sequence[float], b: Sequence[float]) -> Neighbours:
    # East or west, whichever way round the Earth is the shorter.
    east, west = (b[0] - a[2]) % 360, (a[0] - b[2]) % 360
    same_lon = any(a[0] < b[2] + turn and b[0] + turn < a[2] for turn in (-360, 0, 360))
    apart_lon = 0.0 if same_lon else min(east, west)
    apart_lat = max(b[1] - a[3], a[1] - b[3], 0.0)
    furthest = max(abs(v) for v in (a[1], a[3], b[1], b[3]))
    east_m = apart_lon * M_PER_DEGREE * math.cos(math.radians(furthest))
    shared = same_lon and a[1] < b[3] and b[1] < a[3]
    return Neighbours(names, max(east_m, apart_lat * M_PER_DEGREE), shared)


def check_apart(grounds: Mapping[str, Ground], splits: Mapping[str, str], source: str) -> None:
    """Refuse areas of different splits that share ground: the model would be tested on its lesson.

    Args:
        grounds: where each area lies.
        splits: of each.
        source: name of the config file.

    Raises:
        UserError: two do; names both, and both splits.
    """
    for pair in neighbours(grounds, splits):
        if pair.is_overlap:
            one, other = pair.names
            are_boxes = grounds[one].geometry is None and grounds[other].geometry is None
            key, what = ("`bbox_deg`", "box") if are_boxes else ("the ground", "area")
            raise UserError(
                f"{source}: {key} of area {one!r} ({splits[one]}) and area {other!r} "
                f"({splits[other]}) overlap, so places of one split are seen in the other; move "
                f"one {what} away from the other, or give both the same `split`."
            )


def shared_strips(strips: Mapping[str, Sequence[str]], splits: Mapping[str, str]) -> list[str]:
    """Yield a sentence for every strip that areas of different splits share.

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
    """Describe the splits for the data card, from the positions of the areas.

    Args:
        areas: ``bbox_deg``, ``shape`` where it is no box, ``split``, ``chip_px`` and ``gsd_m`` of
            each, by name.
    """
    splits = {name: str(area["split"]) for name, area in areas.items()}
    used = [split for split in SPLITS if split in splits.values()]
    if len(used) < 2:
        return f"All areas are in the split `{_and(used)}`."
    grounds = {name: shapes.ground(area) for name, area in areas.items()}
    chip_m = max(float(area["chip_px"] * area["gsd_m"]) for area in areas.values())
    pairs = sorted(neighbours(grounds, splits), key=lambda pair: (pair.gap_m, pair.names))
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
