"""Honour an owner's request: remove photos from the run folder and never fetch them again.

Flickr's terms ask for it within a day (https://www.flickr.com/help/terms/api). At once go the files
of the photo store, chips, packed pictures, exports, rows of tables and what the searches' journals
hold. The next run, which needs no key for it, makes sums, packs and pages anew.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from witw import forgotten, store
from witw.commands.erase import erase
from witw.config import RESERVED
from witw.errors import UserError
from witw.files import sync_folders
from witw.flickr.crawl import journal
from witw.preflight import claim

# A Flickr member's id, like 12345678@N00.
NSID = re.compile(r"[0-9]{1,20}@N[0-9]{2}")
RESULTS = Path("results")
# Splits that make the model: the weights, and the choice of the epoch.
LEARNT = ("train", "val")
# Results of all AOIs together, in the order of the flow.
JOINT = ("dataset", "pack", "model", "evaluation", "index")


@dataclass
class Traces:
    """Where photos are in a run folder.

    Attributes:
        ids: of the photos: those that were named, and the named owners' that are known here.
        files: of the photo store, by AOI.
        journals: photos that the journal of an AOI holds, by AOI.
        tables: rows of each table.
        known: those of the named ids and owners that are anywhere.
        erased: what was removed below ``results/``, see :func:`witw.commands.erase.erase`.
        trained: how many of them the model has learnt from.
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
        """The AOIs concerned."""
        listed = {path.parts[1] for path in self.tables} - RESERVED
        return sorted({*self.files, *self.journals, *listed})


def run(ids: Collection[str], owners: Collection[str]) -> Traces:
    """Forget photos and owners, in the working folder.

    In such an order that the same command finds the rest where it was interrupted.

    Args:
        ids: of photos, found good.
        owners: NSIDs, found good.

    Returns:
        What there was.

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
        journal.scrub(aoi, traces.ids, owners)
    traces.trained = _trained(traces)
    traces.erased = erase(RESULTS, traces.ids, traces.tables)
    return traces


def check(ids: Collection[str], owners: Collection[str]) -> None:
    """Refuse what is mistyped before anything is written.

    Raises:
        UserError: an id or NSID is none, or the working folder is no run folder.
    """
    for photo_id in ids:
        if not store.PHOTO_ID.fullmatch(photo_id):
            raise UserError(
                f"{photo_id!r} is not a photo's id: on Flickr it is a number, the last part of its "
                "page's address, else as in the column `id` of a table pairs.parquet (an owner is "
                "named with --owner)."
            )
    for owner in owners:
        if not NSID.fullmatch(owner) and not _owns(owner):
            raise UserError(
                f"{owner!r} is not an owner's NSID, which is like 12345678@N00, and owns no photo "
                "here: see the column `owner` of the tables pairs.parquet."
            )
    if not any(path.is_dir() for path in (RESULTS, store.ROOT, store.JOURNALS)):
        raise UserError(
            f"{Path.cwd()} is not a run folder, as it has neither {RESULTS}/ nor {store.ROOT}/; "
            "name it with --directory."
        )


def _owns(owner: str) -> bool:
    """Whether somebody who is no member of Flickr owns a photo of any table."""
    return bool(owner) and any(len(_rows(p, "owner", [owner])) for p in RESULTS.rglob("*.parquet"))


def find(ids: Collection[str], owners: Collection[str]) -> Traces:
    """Look for photos in every table, journal and part of the photo store.

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
        # What is no id has no file, whatever a table says.
        files = store.find(aoi, {i for i in traces.ids if store.PHOTO_ID.fullmatch(i)})
        if files:
            traces.files[aoi] = files
            traces.known |= {store.photo_id(path) for path in files}
    return traces


def _aois() -> list[str]:
    """Every AOI there is anything of, those no longer in the config included."""
    folders = [path for top in (RESULTS, store.ROOT) for path in top.glob("*") if path.is_dir()]
    journals = [path.stem for path in store.JOURNALS.glob("*.sqlite")]
    return sorted({*(path.name for path in folders), *journals} - RESERVED)


def _look_into_journal(
    traces: Traces, aoi: str, ids: Collection[str], owners: Collection[str]
) -> None:
    if not store.journal_path(aoi).is_file():
        return
    held = journal.find(aoi, ids, owners)
    traces.known |= held
    # It names no owners, so those that no table knows are asked for one by one.
    for owner in set(owners) - traces.known:
        if held and journal.find(aoi, (), (owner,)):
            traces.known.add(owner)
    if held:
        traces.journals[aoi] = held
        traces.ids |= held


def _rows(path: Path, column: str, values: Collection[str]) -> pd.DataFrame:
    """``id`` and ``column`` of a table's rows with these values; none where it has no such."""
    try:
        columns = sorted({"id", column})
        if not values or not set(columns) <= set(pq.read_schema(path).names):
            return pd.DataFrame(columns=columns)
        return pd.read_parquet(path, columns=columns, filters=[(column, "in", sorted(values))])
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is not a readable table; delete it and do this again.") from error


def report(traces: Traces, ids: Collection[str], owners: Collection[str]) -> str:
    """What was done and what is left to do, for the person who asked for it."""
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
            f"Run `snakemake` again, which needs no key for it: it lists "
            f"{', '.join(traces.aois)} anew from the journals and rebuilds what follows "
            f"({', '.join(['tables', *joint, 'report'])}).",
        ]
        lines += _model(traces)
    lines += [
        "",
        "Yours to delete: copies outside this folder (archives, backups), and results "
        "that your config no longer asks for.",
    ]
    return "\n".join(_unknown(traces, ids, owners) + lines)


def _unknown(traces: Traces, ids: Collection[str], owners: Collection[str]) -> list[str]:
    missing = sorted({*ids, *owners} - traces.known)
    if not missing:
        return []
    return [f"Nothing found here of {', '.join(missing)}; remembered all the same."]


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
        f"The model in {RESULTS / 'model'} was made with {_count(count, 'of them', 'of them')}: it "
        "keeps what it learnt until it is trained anew, and so does every copy of it."
    ]


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _by_aoi(counts: dict[str, int], what: str) -> str:
    """``3 files (bern 1, oslo 2)``, or ``nothing``."""
    parts = ", ".join(f"{aoi} {count:,}" for aoi, count in sorted(counts.items()))
    return f"{_count(sum(counts.values()), what)} ({parts})" if counts else "nothing"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ids", nargs="*", metavar="ID", help="photos, by their ids")
    parser.add_argument(
        "--owner",
        nargs="+",
        action="extend",
        default=[],
        metavar="NSID",
        help="owners, all of whose photos go, those of the future included",
    )


def command(args: argparse.Namespace) -> None:
    """``witw forget``, in the run folder."""
    if not args.ids and not args.owner:
        raise UserError("Name photos by their ids, or their owner with --owner.")
    check(args.ids, args.owner)
    # A search or download under way would write what it has read already.
    claim(Path.cwd())
    print(report(run(args.ids, args.owner), args.ids, args.owner))  # noqa: T201
