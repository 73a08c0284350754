"""Evaluation results for the report: each metric with its interval and chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from witw.report import charts

PICKS = (1, 5, 10, 100)
RADII_M = (25, 50, 100, 250, 500)
RANKS = {
    "recall_at_1": ("Own chip ranked first", " %"),
    "recall_at_5": ("Own chip among the best 5", " %"),
    "recall_at_10": ("Own chip among the best 10", " %"),
    "recall_at_1pct": ("Own chip among the best 1 %", " %"),
    "median_percentile": ("Median percentile (0 is best)", ""),
    "mean_percentile": ("Mean percentile", ""),
    "median_rank": ("Median rank", ""),
    "mean_rank": ("Mean rank", ""),
}
PLACES = {
    "median_area_pct": ("Area to search for half of the photos", " %"),
    "area_auc": ("Area under the curve (100 is best)", " %"),
    "median_error_m": ("Median error of the best cell", " m"),
}
HEADINGS = {
    "median_error_deg": ("Median error", "\u00b0"),
    "within_15deg": ("Within 15\u00b0", " %"),
    "within_30deg": ("Within 30\u00b0", " %"),
}
BELIEFS = {
    "bits": ("Bits gained over the uniform map", ""),
    "coverage_50": ("Geotag inside the 50 % region", " %"),
    "coverage_80": ("Geotag inside the 80 % region", " %"),
    "coverage_95": ("Geotag inside the 95 % region", " %"),
}
CITIES = {
    "recall_at_1_within_50m": "best cell within 50 m [%]",
    "recall_at_10_within_50m": "one of 10 within 50 m [%]",
    "median_area_pct": "area to search [%]",
}
WINDOWS = {
    "p90_error_m": ("90th percentile of the error", " m"),
    "median_error_m": ("Median error", " m"),
}
PROTOCOLS = {
    "chips": (
        "Among the chips of the city",
        "The original project's protocol: the gallery is the city's own chips, one per photo.",
        RANKS,
    ),
    "thinned": (
        "Among chips of one photo per square of 25 m",
        "The same protocol with a thinned gallery, without near copies.",
        RANKS,
    ),
    "window": (
        "In a window of 420 m",
        "As in the WRIVA-CVGL challenge. The photo is at a random place in the window.",
        WINDOWS,
    ),
    "window_several": (
        "In a window of 420 m, up to eight photos of one place",
        "As above, with the photos of a square of 25 m as one query.",
        WINDOWS,
    ),
}


def results(evaluation: Mapping[str, Any], cities: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of the evaluation section; empty without an evaluation.

    Args:
        evaluation: output of ``evaluate``, or an empty mapping.
        cities: name of each area's city.
    """
    protocols = evaluation.get("protocols", {})
    if not protocols:
        return {}
    grid = protocols.get("grid", {})
    return {
        "grid": _matrix(grid),
        "places": _rows(grid, PLACES),
        "n": next(iter(protocols.values())).get("n"),
        "blocks": next(iter(protocols.values())).get("blocks"),
        "curve": _curve(grid),
        "ranks": [
            {"title": title, "lead": lead, "n": protocols[name]["n"], "rows": rows}
            for name, (title, lead, labels) in PROTOCOLS.items()
            if name in protocols and (rows := _rows(protocols[name], labels))
        ],
        "cities": _cities(grid, cities),
        "city_columns": list(CITIES.values()),
        "heading": _heading(evaluation.get("heading", {})),
        "calibration": _calibration(evaluation.get("calibration", {}), cities),
    }


def _told(told: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a figure with its interval and chance; unknown values are None."""
    interval = told.get("interval", {}).get(key)
    return {
        "value": told[key],
        "interval": interval and [_number(end) for end in interval],
        "chance": told.get("chance", {}).get(key),
    }


def _number(value: float) -> str:
    """Format a number with three significant digits, or as an integer from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rows(told: Mapping[str, Any], labels: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Return one row for each available figure."""
    out = []
    for key, (label, unit) in labels.items():
        if told.get(key) is not None:
            row = _told(told, key)
            shown = {k: None if row[k] is None else _number(row[k]) for k in ("value", "chance")}
            bar = {"bar": row["value"], "mark": row["chance"]} if "recall" in key else {}
            out.append({"label": label, "unit": unit, "interval": row["interval"], **shown, **bar})
    return out


def _matrix(grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the recall of the best k cells within r metres, with one row for each k."""
    out = []
    for k in PICKS:
        keys = [f"recall_at_{k}_within_{r}m" for r in RADII_M]
        if all(key in grid for key in keys):
            out.append({"k": k, "cells": [_tenths(_told(grid, key)) for key in keys]})
    return out


def _tenths(told: Mapping[str, Any]) -> dict[str, Any]:
    """Format a percentage with one decimal, as in the whole table."""
    interval = told["interval"] and [f"{float(end):.1f}" for end in told["interval"]]
    return {**told, "value": f"{told['value']:.1f}", "interval": interval}


def _cities(grid: Mapping[str, Any], cities: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return one row per city, if there are several cities."""
    areas = grid.get("areas", {})
    if len(areas) < 2:
        return []
    return [
        {"city": cities.get(name, name), "n": told["n"], "cells": [_told(told, k) for k in CITIES]}
        for name, told in sorted(areas.items())
    ]


def _curve(grid: Mapping[str, Any]) -> Any:
    curve = grid.get("curve")
    if not curve:
        return None
    lines = [("this model", curve["recall"], False), ("chance", curve["chance"], True)]
    return charts.share_chart(
        curve["area_pct"],
        lines,
        "Photos found within 50 m [%]",
        "share of the area searched, best cells first [%]",
    )


def _heading(told: Mapping[str, Any]) -> dict[str, Any]:
    if not told.get("n"):
        return {}
    histogram = told["histogram"]
    return {
        "n": told["n"],
        "rows": _rows(told, HEADINGS),
        "chart": charts.error_chart(
            histogram["from_deg"], histogram["photos"], "Photos by error of the heading"
        ),
    }


def _calibration(told: Mapping[str, Any], cities: Mapping[str, str]) -> dict[str, Any]:
    if "temperature" not in told:
        return {}
    splits: Sequence[str] = [s for s in ("val", "test") if s in told]
    columns = {s: _rows(told[s], BELIEFS) for s in splits}
    names = ", ".join(cities.get(name, name) for name in told.get("fitted_on", []))
    return {
        "temperature": _number(told["temperature"]),
        "sigma_m": _number(told["sigma_m"]),
        "fitted_on": names,
        "splits": [{"val": "validation", "test": "test"}[s] for s in splits],
        "rows": [
            {"label": rows[0]["label"], "unit": rows[0]["unit"], "cells": rows}
            for rows in zip(*columns.values(), strict=True)
        ],
    }
