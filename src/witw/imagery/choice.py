"""Choose the location from which each strip is read, and record the choice in the run folder.

The record keeps the strip's spec stable. Without it, a file that appears in a preferred location,
or a server that is down for a minute, would rerun an area's imagery.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from witw import files
from witw.errors import UserError
from witw.ground import shapes
from witw.imagery.strip import tile_service
from witw.paths import is_remote, local_files
from witw.spec import build

if TYPE_CHECKING:  # jobs need the names below, but not the models of the whole config
    from witw.config import Config
    from witw.settings.strip import Strip

Name = tuple[str, str]  # names of an area and of one of its strips


def record_path(aoi: str, strip: str) -> Path:
    """Return the path of the record of a strip's location."""
    return Path("results") / aoi / "strips" / f"{strip}.source.json"


class Choice:
    """The strips of a config, each with the single location from which it is read.

    Args:
        config: The validated config.
        is_kept: Whether choices are recorded.

    Attributes:
        reports: Reports of this process's checks, by area and strip.
    """

    def __init__(self, config: Config, is_kept: bool = True) -> None:
        self._config, self._is_kept = config, is_kept
        self.reports: dict[Name, dict[str, Any]] = {}

    @cached_property
    def config(self) -> Config:
        """The config with locations; strips without a known location are looked up together.

        Raises:
            UserError: A STAC cannot be searched, so the strips are unknown.
        """
        self._config = self._with_tiles(self._with_items())
        chosen = {name: self._known(*name) for name in self._several()}
        unknown = [name for name, number in chosen.items() if number is None]
        if unknown:
            # Other strips on servers are checked at the same time, for `check`.
            self.look([*unknown, *self._remote()])
        chosen |= {name: self.reports[name].get("source") for name in unknown}
        if self._is_kept:
            for name, number in chosen.items():
                self._record(name, number)
        return settled(self._config, {n: k for n, k in chosen.items() if k is not None})

    def look(self, names: Iterable[Name]) -> dict[Name, dict[str, Any]]:
        """Check strips in parallel, each once per process.

        Returns:
            Report of each strip, see :func:`witw.imagery.strip.look.report`.
        """
        names = list(names)
        new = [name for name in names if name not in self.reports]
        if new:
            base = self.__dict__.get("config", self._config)
            self.reports |= dict(zip(new, looked([spec(base, *name) for name in new]), strict=True))
        return {name: self.reports[name] for name in names}

    def check(self, names: Iterable[Name]) -> list[str]:
        """Check strips that jobs are going to read.

        Returns:
            Sentences about servers that gave no answer, without duplicates.

        Raises:
            UserError: Some strips cannot be used; the message names all of them.
        """
        names = list(names)
        _ = self.config
        told = [one for one in self.look(names).values() if "told" in one]
        bad = list(dict.fromkeys(one["told"] for one in told if not one.get("is_unsure")))
        unsure = list(dict.fromkeys(one["told"] for one in told if one.get("is_unsure")))
        if not bad:
            return unsure
        bad += unsure
        raise UserError("\n  ".join(_headed(bad)))

    def _with_items(self) -> Config:
        """Return the config with one strip per item of each STAC."""
        stacs = [(a, s) for a, area in self._config.aois.items() for s in area.strips if s.stac]
        items = {(aoi, strip.name): _recorded(aoi, strip) for aoi, strip in stacs}
        unknown = [(aoi, strip) for aoi, strip in stacs if items[aoi, strip.name] is None]
        boxes = {aoi: self._config.aois[aoi].bbox_deg for aoi, _ in unknown}
        asked = [
            {"aoi": aoi, "strip": {"name": s.name}, "stac": s.asked, "bbox_deg": boxes[aoi]}
            for aoi, s in unknown
        ]
        told = looked(asked) if asked else []
        if bad := [one["told"] for one in told if "told" in one]:
            raise UserError("\n  ".join(_headed(bad)))
        for (aoi, strip), one in zip(unknown, told, strict=True):
            items[aoi, strip.name] = one["items"]
            if self._is_kept:
                path = record_path(aoi, strip.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                files.write_json(path, {"stac": strip.asked, "items": one["items"]})
        return expanded(self._config, items) if items else self._config

    def _with_tiles(self, config: Config) -> Config:
        """Return the config with a description file for each tile service, as plans need it."""
        areas = {}
        for aoi, area in config.aois.items():
            strips = [self._described(config, aoi, s) if s.tiles else s for s in area.strips]
            areas[aoi] = area.model_copy(update={"strips": strips})
        return config.model_copy(update={"aois": areas})

    def _described(self, config: Config, aoi: str, strip: Strip) -> Strip:
        path = record_path(aoi, strip.name).with_suffix("").with_suffix(".tiles.xml")
        area = config.aois[aoi]
        margin = area.chips.size_px * area.utm.gsd_m / 2 / 111_000
        west, south, east, north = area.bbox_deg
        wide = margin / max(0.1, math.cos(math.radians(max(abs(south), abs(north)))))
        text = tile_service.describe(
            aoi,
            strip.tiles,
            strip.zoom,
            strip.max_tiles,
            (west - wide, south - margin, east + wide, north + margin),
            Path("journal/tiles") / aoi / strip.name,
            config.flickr.contact,
        )
        # An unchanged file is not rewritten: its new modification time would rerun the strip.
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_text(path, text)
        return strip.of_file(str(path))

    def _several(self) -> list[Name]:
        return [
            (aoi, strip.name)
            for aoi, area in self._config.aois.items()
            for strip in area.strips
            if strip.any_of
        ]

    def _remote(self) -> list[Name]:
        return [
            (aoi, strip.name)
            for aoi, area in self._config.aois.items()
            for strip in area.strips
            if not strip.any_of and is_remote(strip.path)
        ]

    def _known(self, aoi: str, name: str) -> int | None:
        """Return the number of the location that is recorded or known without a request."""
        sources = of(self._config, aoi, name).sources()
        path, record = record_path(aoi, name), None
        if path.is_file():
            record = files.read_json(path)
        if isinstance(record, Mapping):
            for number, source in enumerate(sources):
                if source.path == record.get("path"):
                    return number
        for number, source in enumerate(sources):
            if is_remote(source.path):
                return None
            if local_files(source.path) is not None:
                return number
        return None

    def _record(self, name: Name, number: int | None) -> None:
        path = record_path(*name)
        if number is None:
            return
        value = {"path": of(self._config, *name).sources()[number].path}
        if not path.is_file() or files.read_json(path) != value:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(path, value)


def _recorded(aoi: str, strip: Strip) -> list[dict[str, str]] | None:
    """Return the recorded items of a STAC if the search was the same."""
    path = record_path(aoi, strip.name)
    record = files.read_json(path) if path.is_file() else None
    if not isinstance(record, Mapping) or record.get("stac") != strip.asked:
        return None
    items: list[dict[str, str]] | None = record.get("items")
    return items


def expanded(config: Config, items: Mapping[Name, list[dict[str, str]] | None]) -> Config:
    """Return the config with the rasters of its STACs as strips, in the STACs' positions."""
    areas = {}
    for aoi, area in config.aois.items():
        strips: list[Strip] = []
        for strip in area.strips:
            found = items.get((aoi, strip.name)) if strip.stac else None
            strips += [strip] if found is None else [strip.of_item(**one) for one in found]
        areas[aoi] = area.model_copy(update={"strips": strips})
    return config.model_copy(update={"aois": areas})


def has_stac(config: Config, aoi: str) -> bool:
    """Return whether an area's strips are only known after a request."""
    return any(strip.stac for strip in config.aois[aoi].strips)


def _headed(sentences: list[str]) -> list[str]:
    if len(sentences) < 2:
        return sentences
    return [f"{len(sentences)} strips cannot be used.", *sentences]


def of(config: Config, aoi: str, name: str) -> Strip:
    """Return a strip of an area by its name."""
    return next(strip for strip in config.aois[aoi].strips if strip.name == name)


def settled(config: Config, chosen: Mapping[Name, int]) -> Config:
    """Return the config with one location for each strip in ``chosen``, given by number."""
    areas = {}
    for aoi, area in config.aois.items():
        strips = [
            strip.sources()[chosen[aoi, strip.name]] if (aoi, strip.name) in chosen else strip
            for strip in area.strips
        ]
        areas[aoi] = area.model_copy(update={"strips": strips})
    return config.model_copy(update={"aois": areas})


def spec(config: Config, aoi: str, name: str) -> dict[str, Any]:
    """Return the spec that a check of a strip needs."""
    area = config.aois[aoi]
    place = {"bbox_deg": area.bbox_deg, "chip_m": area.chips.size_px * area.utm.gsd_m}
    # Strips of a shape, like those of photos, are reprojected in part.
    is_whole = area.extent == "all" and area.ground.geometry is None
    place |= {"gsd_m": area.utm.gsd_m, "extent": "all" if is_whole else "photos"}
    if area.area is not None and area.ground.geometry is not None:
        place["shape"] = shapes.told(area.area, area.buffer_m)
    told: dict[str, Any] = json.loads(build(config, "stats", aoi, name)) | place
    told["sources"] = [
        json.loads(build(settled(config, {(aoi, name): number}), "stats", aoi, name))["strip"]
        for number in range(len(of(config, aoi, name).sources()))
    ]
    return told


def looked(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Check strips in a separate process, see :mod:`witw.imagery.strip.look`.

    Importing osgeo here would set PROJ_DATA for every job started from this process.

    Raises:
        UserError: The process failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "witw.imagery.strip.look"],
        input=json.dumps(specs),
        capture_output=True,
        text=True,
        check=False,
    )
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if len(reports) == len(specs) and all("aoi" in report for report in reports):
        return reports
    # GDAL may print warnings around the output.
    told = [line[6:] for line in done.stderr.splitlines() if line.startswith("witw: ")]
    ended = f"The process that checks the strips ended with code {done.returncode}; run again."
    raise UserError("\n  ".join(told) or done.stderr.strip() or ended)
