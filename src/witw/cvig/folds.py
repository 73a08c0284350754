"""Folds of leave-one-city-out, by name only; no tables, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Fold:
    """What a fold is tested and chosen on; it trains on all other areas."""

    test: tuple[str, ...]  # AOIs of the city left out
    val: tuple[str, ...]  # AOIs of the city the epoch and the calibration are chosen on


def folds(cities: Mapping[str, str]) -> dict[str, Fold]:
    """One fold a city, named after the first of its AOIs.

    The validation city is the next one in the order of names, the last one's the first: fixed
    before anything is known of any city.

    Args:
        cities: the city of each AOI.

    Returns:
        Folds in the order of their names; none for fewer than three cities, of which no fold would
        have a city to train on.
    """
    areas: dict[str, list[str]] = {}
    for aoi, city in sorted(cities.items()):
        areas.setdefault(city, []).append(aoi)
    groups = [tuple(aois) for aois in areas.values()]
    if len(groups) < 3:
        return {}
    return {g[0]: Fold(g, groups[(n + 1) % len(groups)]) for n, g in enumerate(groups)}


def splits(cities: Mapping[str, str], fold: str) -> dict[str, str]:
    """Split of each AOI in a fold: ``test``, ``val`` or ``train``.

    Raises:
        KeyError: there is no such fold.
    """
    chosen = folds(cities)[fold]
    return {
        aoi: "test" if aoi in chosen.test else "val" if aoi in chosen.val else "train"
        for aoi in cities
    }
