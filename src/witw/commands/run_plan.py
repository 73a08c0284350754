"""Count what a run needs, area by area: photos, API calls, hours, bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from witw import spec as spec_module
from witw import stage, store
from witw.commands import forecast
from witw.commands.estimate import calls, chip_bytes, listed, mean_photo
from witw.commands.forecast import Training
from witw.commands.imagery_size import Imagery
from witw.config import Config
from witw.flickr.api.client import Client
from witw.flickr.total import total_of
from witw.ground import shapes
from witw.sources.base import Place
from witw.sources.search import read

RESULTS = Path("results")
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
