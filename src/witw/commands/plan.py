"""Estimate a run before it starts: photos, API calls, hours, gigabytes. One call per area."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from witw import config as config_module
from witw import environment, stage, store
from witw import spec as spec_module
from witw.commands import forecast, imagery_size
from witw.commands.estimate import calls, chip_bytes, download_hours, listed, mean_photo
from witw.commands.forecast import Training
from witw.commands.imagery_size import Imagery
from witw.config import Config
from witw.errors import UserError
from witw.flickr.api.client import Client
from witw.flickr.search import total_of
from witw.ground import shapes
from witw.mistakes import yaml_files
from witw.sources.base import Place
from witw.sources.search import read

RESULTS = Path("results")
# A person waits for the table, so an unavailable service must be reported within a minute.
TRIES = 4
NO_IMAGERY = Imagery(0, 0, 0, 0, 0, [])


@dataclass(frozen=True)
class Row:
    """Estimate for one AOI.

    Attributes:
        aoi: name of the AOI.
        photos: number of photos by Flickr's current count and by the other sources.
        calls: API calls of a complete search.
        hours: duration of these calls at the quota.
        photo_bytes: estimated size of all photos.
        chip_bytes: estimated maximum size of all chips, if every photo is outdoor and on the
            imagery.
        stored: number of photos in the store.
        stored_bytes: exact size of these photos.
        cut: number of existing chips.
        cut_bytes: exact size of these chips.
        listed: number of photos of the latest finished search; None if there is none.
        is_begun: whether a search has left a journal, so a new search needs fewer calls.
    """

    aoi: str
    photos: int
    calls: int
    hours: float
    photo_bytes: int
    chip_bytes: int
    stored: int
    stored_bytes: int
    cut: int
    cut_bytes: int
    listed: int | None
    is_begun: bool

    @property
    def missing_photos(self) -> int:
        """Photos still to be fetched."""
        return max(0, self.photos - self.stored)

    @property
    def missing_bytes(self) -> int:
        """Bytes still to be written for photos and chips."""
        photos = max(0, self.photo_bytes - self.stored_bytes)
        return photos + max(0, self.chip_bytes - self.cut_bytes)


@dataclass(frozen=True)
class RunPlan:
    """The complete table.

    Attributes:
        rows: one row per AOI, in the config's order.
        bytes_per_photo: assumed mean size of a photo.
        measured_on: number of photos behind this mean; 0: it is the default.
        free_bytes: free space on the file system of the run folder.
        calls_per_hour: the quota.
        imagery: imagery of all AOIs.
        training: training on these AOIs; None if the run trains no network.
    """

    rows: list[Row]
    bytes_per_photo: int
    measured_on: int
    free_bytes: int
    calls_per_hour: int
    imagery: Imagery = NO_IMAGERY
    training: Training | None = None

    @property
    def missing_bytes(self) -> int:
        """Bytes still to be written."""
        packed = self.training.pack_bytes if self.training else 0.0
        packed = max(0, round(packed) - store.usage(RESULTS / "pack").bytes)
        return sum(r.missing_bytes for r in self.rows) + self.imagery.missing_bytes + packed


def row(config: Config, aoi: str, photos: int, of_flickr: int, bytes_per_photo: int) -> Row:
    """Estimate an AOI with a number of photos, and measure its existing files."""
    area = config.aois[aoi]
    asked = calls(of_flickr, area.search) if area.has_photos_of("flickr") else 0
    stored, cut = store.usage(store.ROOT / aoi), store.usage(RESULTS / aoi / "chips")
    return Row(
        aoi=aoi,
        photos=photos,
        calls=asked,
        hours=asked / config.flickr.calls_per_hour,
        photo_bytes=photos * bytes_per_photo,
        chip_bytes=photos * chip_bytes(area.chips),
        stored=stored.files,
        stored_bytes=stored.bytes,
        cut=cut.files,
        cut_bytes=cut.bytes,
        listed=listed(aoi),
        is_begun=store.journal_path(aoi).is_file(),
    )


def expected(spec: Mapping[str, Any], client: Client | None) -> tuple[int, int]:
    """Count the photos of an AOI's sources, and those of Flickr.

    Args:
        spec: spec of stage ``search``.
        client: Flickr's client, for one call; None for AOIs without photos from Flickr.

    Raises:
        UserError: a service refuses or does not answer, or a source is not readable.
    """
    of_flickr = others = 0
    for source in spec["sources"]:
        if source["kind"] == "flickr" and client:
            of_flickr = total_of(spec, client)
        elif source["kind"] != "flickr":
            box = tuple(spec["bbox_deg"])
            place = Place(spec["aoi"], box, spec, shapes.ground(spec))
            others += len(read(source, place).rows)
    return of_flickr + others, of_flickr


def run(
    config: Config, aois: Sequence[str], client: Client | None, imagery: Imagery = NO_IMAGERY
) -> RunPlan:
    """Count the photos and estimate the run.

    Args:
        config: the validated config.
        aois: names of some of its AOIs.
        client: Flickr's client; None if no AOI has photos from Flickr.
        imagery: imagery of the AOIs.

    Raises:
        UserError: as :func:`expected`, or a table is not readable.
    """
    mean, measured_on = mean_photo([RESULTS / aoi / "photos" for aoi in config.aois])
    rows = []
    for aoi in stage.progress(aois, "photos", total=len(aois)):
        spec: Mapping[str, Any] = json.loads(spec_module.build(config, "search", aoi))
        rows.append(row(config, aoi, *expected(spec, client), mean))
    free = shutil.disk_usage(Path.cwd()).free
    per_hour = config.flickr.calls_per_hour
    return RunPlan(rows, mean, measured_on, free, per_hour, imagery, _training(config, rows))


def _training(config: Config, rows: Sequence[Row]) -> Training | None:
    """Estimate the training on all photos, as if each were a pair."""
    splits = {area.split for area in config.aois.values()}
    if splits != {"train", "val", "test"} or len(rows) < len(config.aois):
        return None
    pairs = dict.fromkeys(splits, 0)
    for one in rows:
        pairs[config.aois[one.aoi].split] += one.photos
    return forecast.forecast(config, pairs["train"], sum(pairs.values()), is_local=True)


def total(rows: Sequence[Row]) -> Row:
    """Return the totals of all AOIs as a row."""
    listed = [r.listed for r in rows if r.listed is not None]
    return Row(
        aoi="total",
        photos=sum(r.photos for r in rows),
        calls=sum(r.calls for r in rows),
        hours=sum(r.hours for r in rows),
        photo_bytes=sum(r.photo_bytes for r in rows),
        chip_bytes=sum(r.chip_bytes for r in rows),
        stored=sum(r.stored for r in rows),
        stored_bytes=sum(r.stored_bytes for r in rows),
        cut=sum(r.cut for r in rows),
        cut_bytes=sum(r.cut_bytes for r in rows),
        listed=sum(listed) if listed else None,
        is_begun=any(r.is_begun for r in rows),
    )


def text(plan: RunPlan) -> str:
    """Format the plan for a person."""
    head = ["aoi", "photos", "listed", "API calls", "hours", "photos GB", "chips GB"]
    head += ["in store", "store GB", "chips", "search"]
    rows = [*plan.rows, *([total(plan.rows)] if len(plan.rows) > 1 else [])]
    lines = _aligned([head, *(_cells(r) for r in rows)])
    paces = download_hours(sum(r.missing_photos for r in plan.rows))
    told = ", ".join(f"{_short(hours)} h at {pace}" for pace, hours in paces.items())
    missing = plan.missing_bytes
    measured = f"the mean of {plan.measured_on:,} photos here"
    verdict = "which is enough" if missing < plan.free_bytes else "WHICH IS NOT ENOUGH"
    return "\n".join(
        [
            *lines,
            "",
            "photos: approximate current count by Flickr, plus the photos of other sources. API "
            f"calls and hours: for a complete search of Flickr at {plan.calls_per_hour:,} calls an "
            "hour.",
            f"Download of the missing photos: {told}; the rate depends on the photo host.",
            f"GB: estimates, in 10^9 bytes, with {plan.bytes_per_photo / 1000:.0f} kB per photo "
            f"({measured if plan.measured_on else 'the default'}) and a chip for every photo.",
            *_imagery(plan.imagery),
            *([f"{plan.training.told} (If every photo is a pair.)"] if plan.training else []),
            f"Disk: about {_gb(missing)} GB more for photos, chips, rasters and packed pairs; the "
            f"disk of the run folder has {_gb(plan.free_bytes)} GB free, {verdict}.",
        ]
    )


def _imagery(found: Imagery) -> list[str]:
    sizes = [_gb(n) for n in (found.remote_bytes, found.local_bytes, found.utm_bytes)]
    return imagery_size.text(found, sizes)


def _cells(r: Row) -> list[str]:
    searched = "finished" if r.listed is not None else "begun" if r.is_begun else "-"
    return [
        r.aoi,
        f"{r.photos:,}",
        "-" if r.listed is None else f"{r.listed:,}",
        f"{r.calls:,}",
        _short(r.hours),
        _gb(r.photo_bytes),
        _gb(r.chip_bytes),
        f"{r.stored:,}",
        _gb(r.stored_bytes),
        f"{r.cut:,}",
        "" if r.aoi == "total" else searched,
    ]


def _gb(size: int) -> str:
    return _short(size / 1e9)


def _short(value: float) -> str:
    """Format a number with two or three significant digits."""
    if 0 < value < 0.01:
        return "<0.01"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Align the cells of a table: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if n in (0, last) else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]


def as_json(plan: RunPlan) -> str:
    """Return the plan as JSON, with the keys of :class:`RunPlan` and :class:`Row`."""
    data = asdict(plan)
    data["total"] = {k: v for k, v in asdict(total(plan.rows)).items() if k != "aoi"}
    data["download_hours"] = download_hours(sum(r.missing_photos for r in plan.rows))
    data["missing_bytes"] = plan.missing_bytes
    return json.dumps(data, indent=1)


def read_config(path: Path) -> Config:
    """Read and validate a config file.

    Raises:
        UserError: the file is missing, not YAML, or not a valid config; names the file.
    """
    return config_module.load(yaml_files.read(path), path.name)


def choose(config: Config, names: Sequence[str]) -> list[str]:
    """Return the named AOIs, or all, in the config's order.

    Raises:
        UserError: a name is not in the config.
    """
    strange = [name for name in names if name not in config.aois]
    if strange:
        raise UserError(
            f"The config has no area {strange[0]!r}; its areas are {', '.join(config.aois)}."
        )
    return [name for name in config.aois if name in names or not names]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("aois", nargs="*", metavar="AREA", help="areas; default: all")
    parser.add_argument("--configfile", type=Path, help="default: the run folder's config.yaml")
    parser.add_argument("--json", action="store_true", help="print JSON")


def command(args: argparse.Namespace) -> None:
    """Run ``witw plan`` in the run folder."""
    environment.load()
    config = read_config(args.configfile or Path("config.yaml"))
    environment.announce(config)
    aois = choose(config, args.aois)
    imagery = imagery_size.measured(config, aois)
    is_asked = any(config.aois[aoi].has_photos_of("flickr") for aoi in aois)
    try:
        client = Client.from_environment(config.flickr.api_url, TRIES) if is_asked else None
        plan = run(config, aois, client, imagery)
    except UserError:
        if not args.json:  # the imagery needs no key
            print("\n".join(_imagery(imagery)))  # noqa: T201
        raise
    print(as_json(plan) if args.json else text(plan))  # noqa: T201
