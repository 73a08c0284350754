"""Honour an owner's request: delete photos from the run folder and never fetch them again.

Flickr's terms require this within a day (https://www.flickr.com/help/terms/api). The command
deletes at once: files of the photo store, chips, packed pictures, exports, table rows and journal
records. The next run rebuilds totals, packs and pages, without a key.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from witw import forgotten, store
from witw.commands.erase import erase
from witw.config import RESERVED
from witw.dataset.push import record
from witw.errors import UserError
from witw.files import sync_folders
from witw.flickr.crawl import removal
from witw.preflight import claim

# A Flickr member's id, such as 12345678@N00.
NSID = re.compile(r"[0-9]{1,20}@N[0-9]{2}")
RESULTS = Path("results")
# Splits that influence the model: through the weights and the choice of the epoch.
LEARNT = ("train", "val")
# Joint results of all AOIs, in the order of the flow.
JOINT = ("dataset", "pack", "model", "evaluation", "index")


@dataclass
class Traces:
    """Traces of photos in a run folder.

    Attributes:
        ids: ids of the photos: the given ids, and the known photos of the given owners.
        files: files of the photo store, by AOI.
        journals: photos in the journal, by AOI.
        tables: number of rows in each table.
        known: the given ids and owners that were found.
        erased: numbers of erased things below ``results/``, see :func:`witw.commands.erase.erase`.
        trained: number of these photos that the model was trained on.
    """

    ids: set[str]
    files: dict[str, list[Path]] = field(default_factory=dict)
    journals: dict[str, set[str]] = field(default_factory=dict)
    tables: dict[Path, int] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    erased: dict[str, int] = field(default_factory=dict)
    trained: int = 0

    @property
    def aois(self) -> list[str]:
        """The affected AOIs."""
        listed = {path.parts[1] for path in self.tables} - RESERVED
        return sorted({*self.files, *self.journals, *listed})


def run(ids: Collection[str], owners: Collection[str]) -> Traces:
    """Forget photos and owners in the working folder.

    The order of steps allows the same command to continue after an interruption.

    Args:
        ids: valid ids of photos.
        owners: valid NSIDs.

    Returns:
        The traces that were found and removed.

    Raises:
        UserError: a table is not readable.
    """
    traces = find(ids, owners)
    forgotten.add(ids, owners, traces.aois)
    for paths in traces.files.values():
        for path in paths:
            path.unlink(missing_ok=True)
    sync_folders({path.parent for paths in traces.files.values() for path in paths})
    for aoi in traces.journals:
        removal.scrub(aoi, traces.ids, owners)
    traces.trained = _trained(traces)
    traces.erased = erase(RESULTS, traces.ids, traces.tables)
    return traces


def check(ids: Collection[str], owners: Collection[str]) -> None:
    """Check ids and owners before writing.

    Raises:
        UserError: an id or NSID is invalid, or the working folder is not a run folder.
    """
    for photo_id in ids:
        if not store.PHOTO_ID.fullmatch(photo_id):
            raise UserError(
                f"{photo_id!r} is not a photo's id: give Flickr's number, the last part of the "
                "page's address, or the column `id` of a table pairs.parquet (for an owner, use "
                "--owner)."
            )
    for owner in owners:
        if not NSID.fullmatch(owner) and not _owns(owner):
            raise UserError(
                f"{owner!r} is not an NSID such as 12345678@N00, and owns no photo here: see the "
                "column `owner` of the tables pairs.parquet."
            )
    if not any(path.is_dir() for path in (RESULTS, store.ROOT, store.JOURNALS)):
        raise UserError(
            f"{Path.cwd()} is not a run folder: it has neither {RESULTS}/ nor {store.ROOT}/; give "
            "the run folder with --directory."
        )


def _owns(owner: str) -> bool:
    """Return whether an owner outside Flickr owns a photo of any table."""
    return bool(owner) and any(len(_rows(p, "owner", [owner])) for p in RESULTS.rglob("*.parquet"))


def find(ids: Collection[str], owners: Collection[str]) -> Traces:
    """Find photos in all tables, all journals and the photo store.

    Raises:
        UserError: a table is not readable.
    """
    tables = sorted(RESULTS.rglob("*.parquet"))
    aois = _aois()
    traces = Traces(set(ids))
    for path in tables if owners else []:
        rows = _rows(path, "owner", owners)
        traces.ids |= set(rows["id"])
        traces.known |= set(rows["owner"])
    for aoi in aois:
        _look_into_journal(traces, aoi, ids, owners)
    for path in tables:
        rows = _rows(path, "id", traces.ids)
        if len(rows):
            traces.tables[path] = len(rows)
            traces.known |= set(rows["id"])
    for aoi in aois:
        # An invalid id of a table has no file.
        files = store.find(aoi, {i for i in traces.ids if store.PHOTO_ID.fullmatch(i)})
        if files:
            traces.files[aoi] = files
            traces.known |= {store.photo_id(path) for path in files}
    return traces


def _aois() -> list[str]:
    """Return every AOI with files, including AOIs that the config no longer has."""
    folders = [path for top in (RESULTS, store.ROOT) for path in top.glob("*") if path.is_dir()]
    journals = [path.stem for path in store.JOURNALS.glob("*.sqlite")]
    return sorted({*(path.name for path in folders), *journals} - RESERVED)


def _look_into_journal(
    traces: Traces, aoi: str, ids: Collection[str], owners: Collection[str]
) -> None:
    if not store.journal_path(aoi).is_file():
        return
    held = removal.find(aoi, ids, owners)
    traces.known |= held
    # A journal's answer names no owners, so owners unknown to all tables are queried one by one.
    for owner in set(owners) - traces.known:
        if held and removal.find(aoi, (), (owner,)):
            traces.known.add(owner)
    if held:
        traces.journals[aoi] = held
        traces.ids |= held


def _rows(path: Path, column: str, values: Collection[str]) -> pd.DataFrame:
    """Return ``id`` and ``column`` of the rows with these values; none without the column."""
    try:
        columns = sorted({"id", column})
        if not values or not set(columns) <= set(pq.read_schema(path).names):
            return pd.DataFrame(columns=columns)
        return pd.read_parquet(path, columns=columns, filters=[(column, "in", sorted(values))])
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is not a readable table; delete the file and repeat the command."
        ) from error


def report(traces: Traces, ids: Collection[str], owners: Collection[str]) -> str:
    """Describe the removal and the remaining steps, for a person."""
    files = {aoi: len(paths) for aoi, paths in traces.files.items()}
    entries = {aoi: len(held) for aoi, held in traces.journals.items()}
    lines = [
        f"Remembered in {forgotten.PATH}: {_count(len(ids), 'photo')} and "
        f"{_count(len(owners), 'owner')}, never to be listed or fetched again.",
        f"Removed from the photo store: {_by_aoi(files, 'file')}.",
        f"Removed from the journals of the searches: {_by_aoi(entries, 'photo')}.",
    ]
    if any(traces.erased.values()):
        lines.append(f"Removed from {RESULTS}/: {_told(traces.erased)}.")
    if traces.tables:
        joint = [name for name in JOINT if (RESULTS / name).exists()]
        lines += [
            "",
            f"Run `snakemake` again; no key is needed. It lists {', '.join(traces.aois)} again "
            f"from the journals and rebuilds everything downstream "
            f"({', '.join(['tables', *joint, 'report'])}).",
        ]
        lines += _model(traces)
    lines += _pushed()
    lines += [
        "",
        "Please delete yourself: copies outside this folder (archives, backups), and results that "
        "your config no longer contains.",
    ]
    return "\n".join(_unknown(traces, ids, owners) + lines)


def _unknown(traces: Traces, ids: Collection[str], owners: Collection[str]) -> list[str]:
    missing = sorted({*ids, *owners} - traces.known)
    if not missing:
        return []
    return [f"Not found here, but remembered: {', '.join(missing)}."]


def _told(erased: dict[str, int]) -> str:
    words = {"files": "file", "rows": "row", "packs": "packed split", "exports": "export"}
    parts = [_count(erased[key], one) for key, one in words.items() if erased[key]]
    return ", ".join([*parts, *(["report and maps"] if erased["pages"] else [])])


def _trained(traces: Traces) -> int:
    packed = (traces.tables.get(RESULTS / f"pack/{split}/pairs.parquet") for split in LEARNT)
    return sum(rows for rows in packed if rows)


def _model(traces: Traces) -> list[str]:
    count = traces.trained
    if not count or not (RESULTS / "model").is_dir():
        return []
    return [
        f"The model in {RESULTS / 'model'} was trained with {count:,} of these photos. It and its "
        "copies keep their influence until the model is trained again."
    ]


def _pushed() -> list[str]:
    """Name the commands that bring the removal to pushed copies."""
    try:
        copies = record.load()
    except UserError as error:
        return ["", str(error)]
    if not copies:
        return []
    lines = ["", "Pushed copies keep these photos until you push again; rebuild exports first:"]
    for url, folder in copies.items():
        is_usual = folder == str(RESULTS / "dataset")
        source = [] if is_usual else ["--from", folder]
        lines.append("  " + shlex.join(["witw", "push-dataset", url, *source]))
    return lines


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _by_aoi(counts: dict[str, int], what: str) -> str:
    """``3 files (bern 1, oslo 2)``, or ``nothing``."""
    parts = ", ".join(f"{aoi} {count:,}" for aoi, count in sorted(counts.items()))
    return f"{_count(sum(counts.values()), what)} ({parts})" if counts else "nothing"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ids", nargs="*", metavar="ID", help="ids of photos")
    parser.add_argument(
        "--owner",
        nargs="+",
        action="extend",
        default=[],
        metavar="NSID",
        help="owners, for all their photos, including future ones",
    )


def command(args: argparse.Namespace) -> None:
    """Run ``witw forget`` in the run folder."""
    if not args.ids and not args.owner:
        raise UserError("No photos given: name photos by their ids, or their owner with --owner.")
    check(args.ids, args.owner)
    # A running search or download could write the photos again.
    claim(Path.cwd())
    print(report(run(args.ids, args.owner), args.ids, args.owner))  # noqa: T201
