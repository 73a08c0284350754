"""A model's card, written from what its file tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FIGURES = {
    "recall_at_1_within_50m": ("Best place within 50 m", " %"),
    "recall_at_10_within_50m": ("One of ten places within 50 m", " %"),
    "median_area_pct": ("Area to search for half of the photos", " %"),
    "median_error_m": ("Median error of the best place", " m"),
}
SPLITS = {"train": "training", "val": "validation", "test": "test"}

_TEXT = """---
license: {license_tag}
library_name: witw
tags:
- cross-view-geolocalization
- satellite-imagery
---

# {title}

Says where in a city an ordinary photo was taken, by looking at satellite imagery only. Made with
witw, {parameters} on chips of {chip_m:g} m.

```sh
pip install witw
witw locate photo.jpg --imagery city.tif --model {address}
```

```python
from witw import Locator
city = Locator.of_imagery("city.tif", "witw.safetensors")
print(city.locate(["photo.jpg"])[0].places()[0])
```

`city.tif` is any georeferenced raster with red, green and blue, of 0.3 to 1 m a pixel. In a config,
`model: {address}` prepares and indexes areas without any training.

## What it was trained and validated on

{areas}

## How good it is

{figures}

## Calibration

{calibration}

## Licence

{licence}

## Limits

- An answer is a lead, not a proof. A map says where in the searched area a photo was taken, if it
  was taken there.
- It has seen outdoor photos only, and only imagery such as that above.
- Photos may show people. Do not use this model to find out where a person lives or is.

## Versions

{versions}
"""


def card(facts: Mapping[str, Any], repo: str) -> str:
    """Markdown of the card, with the front matter that Hugging Face reads.

    Args:
        facts: of :func:`witw.model_facts.read_facts`.
        repo: owner and name of the repository.
    """
    licence = facts.get("licences", {})
    shape = facts["architecture"]
    return _TEXT.format(
        license_tag=str(licence.get("weights", "other")).lower(),
        title=repo.split("/")[-1],
        parameters=f"backbone `{shape['backbone']}`, head `{shape['head']}`",
        chip_m=shape["chip_m"],
        address=f"hf://{repo}",
        areas=_areas(facts.get("areas", {})),
        figures=_figures(facts.get("figures", {})),
        calibration=_calibration(facts.get("calibration", {})),
        licence=_licence(licence),
        versions=", ".join(f"{k} {v}" for k, v in facts.get("versions", {}).items())
        or facts["written_by"],
    )


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a Markdown table."""
    lines = [list(header), ["---"] * len(header), *([_cell(v) for v in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def _areas(areas: Mapping[str, Mapping[str, Any]]) -> str:
    if not areas:
        return "Not told."
    order = list(SPLITS)
    rows = [
        (
            area["city"], SPLITS.get(area["split"], area["split"]), area["pairs"],
            area["photographers"], area["satellite"] or "not stated",
            area["imagery_license"] or "not stated", str(area["snapshot"])[:10],
        )
        for area in sorted(areas.values(), key=lambda a: (order.index(a["split"]), a["city"]))
    ]  # fmt: skip
    head = ["city", "used for", "pairs", "photographers", "satellite", "imagery", "photos up to"]
    made = all(area["satellite"] == "made" for area in areas.values())
    told = "**Synthetic:** a program drew these cities, so no figure is of a real place.\n\n"
    return (told if made else "") + table(head, rows)


def _figures(figures: Mapping[str, Any]) -> str:
    grid = figures.get("protocols", {}).get("grid", {})
    rows = []
    for key, (label, unit) in FIGURES.items():
        if grid.get(key) is None:
            continue
        interval, chance = grid.get("interval", {}).get(key), grid.get("chance", {}).get(key)
        rows.append(
            (
                label,
                f"{grid[key]:.3g}{unit}",
                f"{interval[0]:.3g} to {interval[1]:.3g}" if interval else "too few places",
                "" if chance is None else f"{chance:.3g}{unit}",
            )
        )
    if not rows:
        return "Not told."
    head = f"{grid.get('n', 0):,} photos of cities that it never saw, searched on a grid.\n\n"
    return head + table(["figure", "value", "95 % interval", "chance"], rows)


def _calibration(told: Mapping[str, Any]) -> str:
    if not told:
        return "None: a map's probabilities were not checked."
    names = ", ".join(told.get("fitted_on", [])) or "the validation areas"
    text = (
        f"Scores become probabilities by a temperature of {told['temperature']:.3g} and a blur of "
        f"{told['sigma_m']:.3g} m, fitted on {names}."
    )
    test = told.get("test", {})
    held = [(q, test[f"coverage_{q}"]) for q in (50, 80, 95) if f"coverage_{q}" in test]
    if held:
        text += " On the test cities, " + ", ".join(
            f"the {q} % region held the geotag of {share:.3g} % of the photos" for q, share in held
        )
        text += "."
    return text


def _licence(told: Mapping[str, Any]) -> str:
    if not told:
        return "Not told."
    photos = ", ".join(f"{name}: {count:,}" for name, count in told["photos"].items())
    imagery = "; ".join(f"{name} ({', '.join(at)})" for name, at in told["imagery"].items())
    return (
        f"{told['weights']}. {told['reason']}\n\n- Imagery: {imagery}\n"
        f"- Photos it learned from, by licence: {photos}"
    )
