"""Builds the report page from the result tables."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from witw import __version__
from witw.dataset import notices
from witw.dataset.funnel import funnel, licenses
from witw.dataset.funnel import shown as columns_shown
from witw.follow.view import duration
from witw.report import charts, filters, ground, maps
from witw.report.results import results
from witw.report.samples import MAX_PHOTOS, samples, web_address
from witw.status import STATUS_MEANING, Status
from witw.tables import MADE

# Descriptions by file name.
RANKED = {
    "best": "the photo that the network ranks best",
    "heatmap": "the median photo by rank",
    "worst": "the photo that the network ranks worst",
}
SHOWN = 18  # pairs; with the photos near the threshold and of the heat maps, below MAX_PHOTOS


COMPLETE = "complete"  # verdict of a search; the page explains it once


@dataclass(frozen=True)
class Sources:
    """Inputs of the page, read but not interpreted."""

    areas: Mapping[str, Mapping[str, Any]]
    pairs: pd.DataFrame
    cells: Mapping[str, pd.DataFrame]
    searches: Mapping[str, Mapping[str, Any]]
    epochs: Sequence[Mapping[str, Any]]
    evaluation: Mapping[str, Any]
    heatmaps: Sequence[tuple[str, str, bytes]]
    mosaics: Mapping[str, Path] = field(default_factory=dict)
    times: Sequence[Mapping[str, Any]] = ()


def render(sources: Sources) -> str:
    """Return the page as HTML; all text is escaped."""
    environment = Environment(
        loader=PackageLoader("witw.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{int(value):,}"
    environment.filters["span"] = duration
    table = funnel(sources.pairs, sources.areas)
    fates = columns_shown(table)[4:]
    near = filters.near_threshold(sources.pairs)
    # Each heat map shows a photo; with many test areas, only the median photos, up to MAX_PHOTOS.
    maps_shown = list(sources.heatmaps)
    if len(maps_shown) + len(near) > MAX_PHOTOS:
        medians = [one for one in maps_shown if one[1] == "heatmap"]
        maps_shown = medians[: MAX_PHOTOS - len(near)]
    shown = min(SHOWN, MAX_PHOTOS - len(maps_shown) - len(near))
    text = environment.get_template("report.html.j2").render(
        notice=notices.joined(notices.notices(sources.pairs)),
        noun=notices.noun(sources.pairs),
        made=(made := _made(sources.areas)),
        all_made=len(made) == len(sources.areas),
        snapshots=notices.snapshots(sources.areas, sources.pairs),
        statuses=[(s.value, STATUS_MEANING[s], c) for s, c in maps.COLORS.items() if s in fates],
        headline=headline(sources, table),
        funnel=table.to_dict("records"),
        columns=fates,
        areas=[_area(name, sources) for name in sorted(sources.areas)],
        licenses=_licenses(sources.pairs),
        imagery=_imagery(sources.areas),
        samples=samples(sources.pairs, shown),
        charts=training_charts(sources.epochs),
        results=results(sources.evaluation, {a: _city(a, sources) for a in sources.areas}),
        outdoor=filters.outdoor(sources.pairs),
        near=near,
        blanks=filters.blanks(sources.pairs),
        times=sources.times,
        origin=_origin(sources),
        heatmaps=[
            (_city(area, sources), RANKED.get(name, RANKED["heatmap"]), maps.smaller(picture))
            for area, name, picture in maps_shown
        ],
    )
    return text.rstrip() + "\n"


def headline(sources: Sources, table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the headline numbers with their descriptions."""
    total = table.iloc[-1]
    paired = sources.pairs[sources.pairs["status"] == Status.PAIRED]
    areas = len(sources.areas)
    out = [
        (f"{total['listed']:,}", "photos listed"),
        (f"{total['paired']:,}", "pairs of photo and imagery"),
        (f"{areas:,}", "area" if areas == 1 else "areas"),
        (f"{paired['owner'].nunique():,}", "owners of the paired photos"),
    ]
    protocols = sources.evaluation.get("protocols", {})
    grid, chips = protocols.get("grid", {}), protocols.get("chips", {})
    if "median_area_pct" in grid:
        guess = grid["chance"]["median_area_pct"]
        what = "of an unseen city must be searched to find half of its photos within 50 m"
        out.append((f"{grid['median_area_pct']:.2g} %", f"{what} (chance {guess:.2g} %)"))
    if "median_percentile" in chips:
        what = "median percentile of the right place in an unseen city (chance 50, best 0)"
        out.append((f"{chips['median_percentile']:.1f}", what))
    return out


def _area(name: str, sources: Sources) -> dict[str, Any]:
    area = sources.areas[name]
    rows = sources.pairs[sources.pairs["aoi"] == name]
    return {
        "name": name,
        "city": area["city"],
        "split": area["split"],
        "satellite": area["satellite"],
        "map": maps.photo_map(
            rows, area["bbox_deg"], _map_label(area["city"], rows), _below(name, sources)
        ),
        "fates": _fates(rows),
        "search": _search(name, sources) if name in sources.searches else None,
    }


def _below(name: str, sources: Sources) -> maps.Below:
    """Return the background of an area's map."""
    mosaic = sources.mosaics.get(name)
    strips = ground.footprints(mosaic).values() if mosaic else ()
    cells = sources.cells.get(name)
    return maps.Below(mosaic, ground.boxes(cells) if cells is not None else (), list(strips))


def _fates(rows: pd.DataFrame) -> str:
    """Describe the number of photos with each status."""
    counts = rows["status"].value_counts()
    parts = [f"{counts[s]:,} {s.replace('_', ' ')}" for s in Status if counts.get(s)]
    return ", ".join(parts) or "none"


def _map_label(city: str, rows: pd.DataFrame) -> str:
    """Describe a map of dots in words."""
    return f"Map of the {len(rows):,} photos listed in {city}: {_fates(rows)}"


def _origin(sources: Sources) -> dict[str, str]:
    """Return the version of witw and digests of the areas' config and of the data."""
    config = json.dumps(sources.areas, sort_keys=True).encode()
    rows = sources.pairs[["id", "aoi", "status", "photo_sha256", "chip_sha256"]]
    data = rows.astype("string").fillna("").to_csv(index=False).encode()
    return {
        "version": __version__,
        "config": hashlib.sha256(config).hexdigest()[:12],
        "data": hashlib.sha256(data).hexdigest()[:12],
    }


def _search(name: str, sources: Sources) -> dict[str, Any]:
    """Return the size, cost and completeness of a search, and the notes on its list."""
    said = sources.searches[name]
    notes = [] if said["verdict"] == COMPLETE else list(said["reasons"])
    if said["gone"]:
        notes.append(f"{said['gone']:,} photos of earlier lists no longer exist.")
    notes += [f"{n:,} returned but not usable: {why}." for why, n in said["left_out"].items()]
    return {
        **{key: said[key] for key in ("photos", "calls", "verdict")},
        "notes": " ".join(notes),
        "ratio": said["calls"] / max(1, said["calls_least"]),
        "audit_calls": said["audit"]["calls"],
        "boxes": int(sources.cells[name]["is_leaf"].sum()),
    }


def training_charts(epochs: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Draw the training loss and the validation scores by epoch, as far as they exist."""
    wanted = {
        "loss": ("Training loss", None),
        "val_median_percentile": ("Validation: median percentile", (50.0, "chance")),
        "val_recall_at_10": ("Validation: own chip among the best 10 [%]", None),
        "val_recall_at_1": ("Validation: own chip first [%]", None),
        "val_recall_at_1pct": ("Validation: own chip among the best 1 % [%]", None),
    }
    drawn = []
    for key, (title, level) in wanted.items():
        points = [
            (float(line.get("epoch", number)), float(line[key]))
            for number, line in enumerate(epochs, start=1)
            if isinstance(line.get(key), int | float) and math.isfinite(line[key])
        ]
        if points:
            xs, ys = zip(*points, strict=True)
            drawn.append(charts.line_chart(xs, ys, title, level))
    return drawn


def _licenses(pairs: pd.DataFrame) -> list[dict[str, Any]]:
    rows = licenses(pairs).to_dict("records")
    return [
        {
            "name": "unknown" if pd.isna(row["license"]) else row["license"],
            "url": "" if pd.isna(row["license_url"]) else web_address(row["license_url"]),
            "listed": row["listed"],
            "paired": row["paired"],
        }
        for row in rows
    ]


def _made(areas: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the synthetic cities, by their config."""
    return [area["city"] for _, area in sorted(areas.items()) if area["satellite"] == MADE]


def _imagery(areas: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    groups: dict[str, list[str]] = {}
    for name in sorted(areas):
        groups.setdefault(areas[name]["imagery_license"], []).append(areas[name]["city"])
    return [(text or "not stated", ", ".join(cities)) for text, cities in sorted(groups.items())]


def _city(name: str, sources: Sources) -> str:
    return str(sources.areas[name]["city"]) if name in sources.areas else name
