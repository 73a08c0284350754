"""Data card: contents, origin and permitted uses of the data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from witw import status, tables
from witw.dataset import notices
from witw.dataset.credit import clean, spdx
from witw.dataset.croissant import citation
from witw.dataset.funnel import shown
from witw.dataset.overlap import overlap
from witw.mistakes.areas import card_sentence

_LICENSE = ("license", "license_url")
_HEAD = """# witw: photos and the imagery around them

{noun} of {cities}, each paired with the square of satellite or
aerial imagery centred on its geotag, for training and testing photo geolocalization.

**{paired:,} pairs** out of {listed:,} photos listed.{snapshot} {size}

{example}{synthetic}{notice}

## Areas

{areas}

## From listed to paired

Every listed photo has one row in `pairs.parquet` and one status. The statuses add up to the number
listed.

{funnel}

{meanings}

{splits}
"""

_LOAD = """```python
import pandas as pd
pairs = pd.read_parquet("pairs.parquet").query("status == 'paired'")
photo, chip = pairs.iloc[0][["photo_path", "chip_path"]]  # JPEG files of this folder
```

For PyTorch, with witw installed:

```python
from torch.utils.data import DataLoader
from witw import Pairs
loader = DataLoader(Pairs(".", split="train", size=384), batch_size=64, shuffle=True)
```"""

_TAIL = """## Load it

{load}

## Columns of `pairs.parquet`

GeoParquet, one row per listed photo, sorted by `aoi` and `id`, with the geotag as point geometry
in EPSG:4326. Paths are relative to this folder; only pairs have them. Values of stages that a photo
did not reach are null, such as the scores of a photo without a file. A photo in overlapping areas
has a row in each of them.

{columns}

## Licences of the photos

Licences are those that the source gave at the time of the search. `license_url` leads to the text,
and `credit` is the attribution to print with a photo. `CREDITS.csv` has author, title and SPDX
identifier. `class` gives the uses that a licence forbids.

{licenses}

## Licence of the imagery

{imagery}

## Removal of a photo

{removal}

## Limits

- Geotags are set by cameras and people: errors of tens of metres are common, errors of kilometres
  possible.
- Photos show subjects that people chose: centres, sights and events. Few were taken in winter or at
  night, and a few photographers took many of them.
- A network's vote separates indoor from outdoor photos; a few per cent of its votes are wrong.
- Photo and imagery were not taken on the same day, often not in the same year.
- Owners may remove a photo or change its licence at any time, and keepers of the data set must
  follow. Photos may show people; do not use them to identify anyone.
- The heading of a photo is known only if its source gives it (`heading_deg`).

## Citation

```bibtex
{citation}
```

`provenance.json` lists the settings, versions and inputs of this data set.
"""


def card(
    pairs: pd.DataFrame,
    funnel: pd.DataFrame,
    licenses: pd.DataFrame,
    areas: Mapping[str, Mapping[str, Any]],
    contact: str = "",
    example: pd.Series | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> str:
    """Return the card as Markdown.

    Args:
        pairs: table ``pairs`` of all AOIs.
        funnel: from :func:`witw.dataset.funnel.funnel`.
        licenses: from :func:`witw.dataset.funnel.licenses`.
        areas: description of each AOI from the config, by name.
        contact: address for removal requests.
        example: the pair in ``example.jpg``.
        sizes: kind of picture -> number of files and bytes.
    """
    ordered = [areas[name] for name in sorted(areas)]
    dates = notices.snapshots(areas, pairs)
    total, columns = funnel.iloc[-1], shown(funnel)
    head = _HEAD.format(
        cities=_and([cell(area["city"]) for area in ordered]),
        paired=int(total["paired"]),
        listed=int(total["listed"]),
        noun=notices.noun(pairs),
        snapshot=f" Photos uploaded up to {_and(dates)} were listed." if dates else "",
        synthetic=_synthetic(ordered),
        notice=notices.joined(notices.notices(pairs)),
        size=_size(sizes or {}),
        example=_example(example),
        areas=_areas(areas),
        funnel=markdown(columns, funnel[columns].itertuples(index=False)),
        splits=f"{card_sentence(areas)}\n\n{overlap(pairs).sentence}",
        meanings="\n".join(
            f"- `{s}`: {status.STATUS_MEANING[status.Status(s)]}." for s in columns[4:]
        ),
    )
    described = [
        (f"`{name}`", col.dtype, col.unit, col.meaning) for name, col in tables.PAIRS.items()
    ]
    tail = _TAIL.format(
        load=_LOAD,
        removal=_removal(contact),
        columns=markdown(["column", "dtype", "unit", "meaning"], described),
        licenses=markdown(licenses.columns, licenses.itertuples(index=False)),
        imagery=_imagery(areas),
        citation=citation(max(area["snapshot"] for area in ordered)),
    )
    return head + "\n" + _spread(pairs) + tail


def _synthetic(areas: Sequence[Mapping[str, Any]]) -> str:
    """Return a paragraph on the synthetic cities; empty if all are real."""
    cities = [cell(area["city"]) for area in areas if area["satellite"] == tables.MADE]
    if not cities:
        return ""
    return (
        f"**Synthetic:** {_and(cities)}. A program generated streets, imagery, photos and owners, "
        "so no figure here describes a real place.\n\n"
    )


def markdown(header: Iterable[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a Markdown table, with thousands separators and escaped cells."""
    names = list(header)
    lines = [names, ["---"] * len(names), *([cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: object) -> str:
    """Escape the text of a table cell: names from other services must not become markup."""
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    text = clean(str(value)).replace("\\", "\\\\").replace("|", "\\|")
    return text.replace("<", "&lt;").replace("[", "\\[")


def _areas(areas: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            name,
            area["city"],
            area["split"],
            ", ".join(f"{edge:.4f}" for edge in area["bbox_deg"]),
            area["satellite"],
            f"{area['chip_px']} px at {area['gsd_m']:g} m",
            area["snapshot"],
        )
        for name, area in sorted(areas.items())
    ]
    header = ["aoi", "city", "split", "west, south, east, north", "satellite", "chip", "snapshot"]
    return markdown(header, rows)


def _imagery(areas: Mapping[str, Mapping[str, Any]]) -> str:
    by_license: dict[str, list[str]] = {}
    for name, area in sorted(areas.items()):
        by_license.setdefault(area["imagery_license"], []).append(name)
    return "\n".join(
        f"- {cell(text) or 'not stated in the config'}: {', '.join(names)}"
        for text, names in sorted(by_license.items())
    )


def _removal(contact: str) -> str:
    who = f"write to {cell(contact)}" if contact else "write to the publisher of this data set"
    return (
        f"Owners who want a photo removed: {who}, with the photo's page. Builders of the data set "
        "then run `witw forget ID`, which deletes the photo, its chip and every copy in exports. "
        "Holders of a copy should delete the files and rows of that id."
    )


def _size(sizes: Mapping[str, tuple[int, int]]) -> str:
    """Describe the number and size of the files."""
    told = [f"{count:,} {kind} ({size / 1e9:.2f} GB)" for kind, (count, size) in sizes.items()]
    return f"Files: {_and(told)}." if told else ""


def _example(row: pd.Series | None) -> str:
    """Return the picture of one pair with its credit; empty without an example."""
    if row is None:
        return ""
    known = [str(row[name]) for name in ("owner_name", "owner") if pd.notna(row[name])]
    license_ = spdx(*(str(row[key]) if pd.notna(row[key]) else "" for key in _LICENSE))
    page = f", {cell(row['url'])}" if pd.notna(row["url"]) else ""
    return (
        "![A photo and the square of imagery around its geotag](example.jpg)\n\n"
        f"Photo: {cell(known[0]) if known else 'unknown'}, {license_}{page}. "
        f"Imagery: {cell(row['satellite'])}.\n\n"
    )


def taken(pairs: pd.DataFrame) -> tuple[str, str] | None:
    """Return the known ISO dates of the first and last paired photo, by the cameras' clocks."""
    days = pairs.loc[pairs["status"] == status.Status.PAIRED, "date_taken"].str[:10].dropna()
    days = days[days.str.fullmatch(r"[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")]
    return (str(days.min()), str(days.max())) if len(days) else None


def _spread(pairs: pd.DataFrame) -> str:
    """Describe the dates of the paired photos and the number of owners."""
    paired = pairs[pairs["status"] == status.Status.PAIRED]
    if not len(paired):
        return ""
    days = taken(pairs)
    span = f", taken {days[0][:4]} to {days[1][:4]} by their cameras' clocks" if days else ""
    return f"The pairs are photos of {paired['owner'].nunique():,} people{span}.\n\n"


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
