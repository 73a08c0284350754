"""Join all areas into one data set with its funnel, licences, data card and Croissant."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from witw import files, stage, tables
from witw.dataset import notices
from witw.dataset.card import card, taken
from witw.dataset.credit import credits_table
from witw.dataset.croissant import DataFile, croissant
from witw.dataset.funnel import funnel as count_funnel
from witw.dataset.funnel import licenses as count_licenses
from witw.dataset.layout import tree
from witw.dataset.layout.example import draw
from witw.dataset.overlap import exclude, overlap
from witw.dataset.provenance import provenance
from witw.settings.dataset import Dataset
from witw.sources import ids

VERSION = 4
READS = ("areas", "dataset", "made")

log = logging.getLogger(__name__)


def run(
    spec: dict[str, Any],
    inputs: Sequence[Path],
    pairs: Path,
    funnel: Path,
    licenses: Path,
    credit_file: Path,
    card_file: Path,
    croissant_file: Path,
    ids_file: Path,
    provenance_file: Path,
    example: Path,
    photos: Path,
    chips: Path,
    *,
    weights: Sequence[Path] = (),
) -> None:
    """Write the data set as a self-contained folder.

    Args:
        spec: ``areas`` (description of each AOI from the config), section ``dataset``, and ``made``
            (the keys of the earlier stages).
        inputs: tables ``pairs``, one per AOI; paths relative to the working folder.
        pairs: output, all pairs (GeoParquet), sorted by AOI and id; paths relative to its folder.
        funnel: output CSV, number of listed photos with each status.
        licenses: output CSV, number of photos under each licence.
        credit_file: output CSV, credits of each pair.
        card_file: output Markdown, the data card.
        croissant_file: output JSON-LD.
        ids_file: output CSV, photos with their sources, to rebuild the data set.
        provenance_file: output JSON, settings, versions and SHA-256 of the inputs.
        example: output JPEG, a pair side by side.
        photos: output folder of the pairs' photos, as links to the photo store.
        chips: output folder of the pairs' chips, as links.
        weights: Places365 checkpoints.

    Raises:
        UserError: a photo or chip is missing.
    """
    areas: Mapping[str, Mapping[str, Any]] = spec["areas"]
    settings = Dataset.model_validate(spec["dataset"])
    frames = [tables.read(path, "pairs") for path in inputs]
    data = pd.concat([tables.frame("pairs"), *frames], ignore_index=True)
    data = data.sort_values(["aoi", "id"], ignore_index=True)
    data["status"] = exclude(data, settings.shared)
    data = tree.lay(data, photos, chips)
    counts, terms = count_funnel(data, areas), count_licenses(data)
    tables.write_geo(pairs, "pairs", data)
    credits_ = credits_table(data)
    for path, table in ((funnel, counts), (licenses, terms), (credit_file, credits_)):
        files.write_text(path, table.to_csv(index=False, lineterminator="\n"))
    files.write_text(ids_file, ids.table(data).to_csv(index=False, lineterminator="\n"))
    origin = {path.parent.name: path for path in inputs}
    files.write_json(provenance_file, provenance(spec["made"], spec["dataset"], origin, weights))
    shown = draw(example, data, pairs.parent)
    sizes = {path.name: tree.size(path) for path in (photos, chips)}
    text = card(data, counts, terms, areas, settings.contact, shown, sizes)
    files.write_text(card_file, text)
    described = [
        _describe(pairs, "One row per listed photo.", "application/x-parquet"),
        _describe(funnel, "Number of listed photos with each status, by area.", "text/csv"),
        _describe(licenses, "Number of photos under each licence.", "text/csv"),
        _describe(credit_file, "Author, title and licence of each pair's photo.", "text/csv"),
        _describe(ids_file, "Photos and their sources, to rebuild the data set.", "text/csv"),
        _describe(provenance_file, "Settings, versions and inputs.", "application/json"),
        _describe(example, "A pair side by side, for the card.", "image/jpeg"),
    ]
    told = croissant(described, _summary(data, counts), *_terms(terms, areas), areas, taken(data))
    files.write_json(croissant_file, told)
    total = counts.iloc[-1]
    log.info("%d areas: %d listed, %d paired", len(areas), total["listed"], total["paired"])
    log.info("%s", overlap(data).sentence)


def _describe(path: Path, description: str, encoding: str) -> DataFile:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return DataFile(path.name, description, encoding, len(data), digest)


def _summary(pairs: pd.DataFrame, counts: pd.DataFrame) -> str:
    total, cities = counts.iloc[-1], ", ".join(counts["city"].iloc[:-1])
    return (
        f"{notices.noun(pairs)}: {total['paired']}, each paired with the square "
        f"of overhead imagery centred on its geotag, and the {total['listed']} photos they were "
        f"chosen from; areas: {cities}."
    )


def _terms(terms: pd.DataFrame, areas: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], str]:
    """Return the licences of photos (addresses) and imagery (names), and the date of the search."""
    photos = {str(url) for url in terms["license_url"].dropna() if url}
    imagery = {area["imagery_license"] for area in areas.values() if area["imagery_license"]}
    return sorted(photos) + sorted(imagery), max(area["snapshot"] for area in areas.values())


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    outputs = ["pairs", "funnel", "licenses", "credits", "card", "croissant", "ids"]
    outputs += ["provenance", "example", "photos", "chips"]
    inputs = ["inputs", "weights"]
    args = stage.arguments("dataset", __doc__, inputs, outputs, inputs, argv=argv)
    run(args.spec, args.inputs, *(getattr(args, name) for name in outputs), weights=args.weights)


if __name__ == "__main__":
    stage.execute(main)
