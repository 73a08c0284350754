"""Folds of leave-one-city-out, from the names of areas; no tables, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Fold:
    """Test and validation areas of a fold; it trains on all other areas."""

    test: tuple[str, ...]  # AOIs of the city left out
    val: tuple[str, ...]  # AOIs of the city that selects epoch and calibration


def folds(cities: Mapping[str, str]) -> dict[str, Fold]:
    """Return one fold per city, named after the first of its AOIs.

    The validation city is the next city in the order of names (cyclic), so the choice does not
    depend on any result.

    Args:
        cities: the city of each AOI.

    Returns:
        Folds in the order of their names; none for fewer than three cities, which leave no city to
        train on.
    """
    areas: dict[str, list[str]] = {}
    for aoi, city in sorted(cities.items()):
        areas.setdefault(city, []).append(aoi)
    groups = [tuple(aois) for aois in areas.values()]
    if len(groups) < 3:
        return {}
    return {g[0]: Fold(g, groups[(n + 1) % len(groups)]) for n, g in enumerate(groups)}


def splits(cities: Mapping[str, str], fold: str) -> dict[str, str]:
    """Return the split of each AOI in a fold: ``test``, ``val`` or ``train``.

    Raises:
        KeyError: the fold does not exist.
    """
    chosen = folds(cities)[fold]
    return {
        aoi: "test" if aoi in chosen.test else "val" if aoi in chosen.val else "train"
        for aoi in cities
    }
