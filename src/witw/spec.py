"""Build a job's spec: the keys its stage reads and the module's version, as one string.

Snakemake compares a rule's params as an unordered set of values, ignores unknown objects and does
not track imported modules. With one canonical JSON string per job, a job reruns exactly when the
config or the code of its stage changed for its AOI.

Each stage module declares two literals::

    VERSION = 1                              # raised when the same inputs give other outputs
    READS = ("bbox_deg", "flickr.api_url")   # key paths of the AOI, or of the config's top level

Both are read from the source text, not by import: a plan must not load torch and GDAL.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from witw.forgotten import digest
from witw.ground import shapes
from witw.paths import folder_state, weights
from witw.settings.base import KINDS

if TYPE_CHECKING:  # a job reads its spec back without the models of the whole config
    from witw.config import Aoi, Config

# stage -> module; the order is the order of the flow.
STAGES = {
    "search": "witw.sources.search",
    "shards": "witw.sources.shards",
    "download": "witw.sources.download",
    "weights": "witw.places365.weights",
    "scenes": "witw.places365.scenes",
    "stats": "witw.imagery.stats",
    "stretch": "witw.imagery.stretch",
    "rgb8": "witw.imagery.rgb8",
    "utm": "witw.imagery.utm",
    "mosaic": "witw.imagery.mosaic",
    "chips": "witw.imagery.chips",
    "pairs": "witw.dataset.pairs",
    "dataset": "witw.dataset.dataset",
    "export_folder": "witw.dataset.export_folder",
    "export_webdataset": "witw.dataset.export_webdataset",
    "export_hf": "witw.dataset.export_hf",
    "pack": "witw.dataset.pack",
    "backbone": "witw.cvig.backbone",
    "train": "witw.cvig.train",
    "evaluate": "witw.cvig.evaluate",
    "release": "witw.cvig.release",
    "fetch_model": "witw.locating.fetch_model",
    "index": "witw.cvig.index",
    "resplit": "witw.cvig.resplit",
    "leave_one_out": "witw.cvig.leave_one_out",
    "locate": "witw.cvig.locate",
    "report": "witw.report.__main__",
}


# Kind of source -> keys that `search` reads for it; other keys must not rerun the search of an
# area.
SOURCE_READS = {
    "flickr": ("search", "flickr.api_url", "flickr.photo_hosts"),
    "yfcc100m": ("search.licenses", "flickr.photo_hosts"),
}
# Keys of a source that `search` does not read.
_NOT_LISTED = {*KINDS, "hosts"}
# Stages before `dataset` whose keys its provenance lists. _NOT_TOLD is left out: removals are not
# settings, and strips and sources are listed separately.
MADE_BY = (
    *("search", "shards", "download", "scenes"),
    *("stats", "stretch", "utm", "mosaic", "chips", "pairs"),
)
_NOT_TOLD = {"forgotten", "strip", "strip_names", "sources"}


@cache
def literals(stage: str) -> tuple[int, tuple[str, ...]]:
    """Return ``(VERSION, READS)`` of a stage's module without importing it."""
    module = STAGES[stage]
    found = _source(module)
    values: dict[str, Any] = {}
    for node in ast.parse(found.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("VERSION", "READS"):
                values[name] = ast.literal_eval(node.value)
    return int(values["VERSION"]), tuple(values["READS"])


def _source(module: str) -> Path:
    """Return the path of a module's source; the lookup imports only the (empty) parent packages."""
    found = find_spec(module)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(module)
    return Path(found.origin)


def build(config: Config, stage: str, aoi: str | None = None, part: str | None = None) -> str:
    """Return the canonical JSON of the dependencies of one job.

    Args:
        config: the validated config.
        stage: a key of :data:`STAGES`.
        aoi: name of the AOI, for stages that run per AOI.
        part: name of the strip or checkpoint file, for stages that run per strip or file.

    Returns:
        JSON with sorted keys: ``stage``, ``version``, ``aoi`` and every key path of ``READS``,
        nested as in the config. Some paths are derived: ``utm_epsg``, ``strip`` (only this strip,
        with bands and nodata resolved), ``strip_names`` (in config order), ``need_px`` (side of the
        chips to read strips for; None: read all), ``shape`` (of an area that is not a box, see
        :mod:`witw.ground.shapes`; otherwise omitted), ``weights`` (the checkpoint's address),
        ``areas`` (description of each AOI for the joint stages), ``chip_m``, ``forgotten`` (a
        digest of the removals from the AOI), ``sources`` and ``photo_hosts`` (photo sources and
        their hosts), ``made`` (the keys of the stages before `dataset`).
    """
    version, reads = literals(stage)
    out: dict[str, Any] = {"stage": stage, "version": version}
    area = None
    if aoi is not None:
        out["aoi"] = aoi
        area = config.aois[aoi]
    for path in _in_use(reads, area) if stage == "search" else reads:
        value = digest(aoi or "") if path == "forgotten" else _value(config, area, path, part)
        # Omitted if empty: areas with photos from Flickr only, and areas that are boxes, keep the
        # specs of versions without these keys.
        if path not in ("photo_hosts", "shape") or value:
            _put(out, path, value)
    return json.dumps(out, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _in_use(reads: Iterable[str], area: Aoi | None) -> list[str]:
    """Return the keys that `search` reads for an area's kinds of source."""
    wanted = {p for s in (area.photos if area else ()) for p in SOURCE_READS.get(s.kind, ())}
    owned = {path for paths in SOURCE_READS.values() for path in paths}
    # A section replaces its own keys.
    wanted -= {path for path in wanted if path.rpartition(".")[0] in wanted}
    return [*(path for path in reads if path not in owned), *sorted(wanted)]


def _value(config: Config, area: Aoi | None, path: str, part: str | None) -> Any:
    if path in _DERIVED:
        return _DERIVED[path](config, area, part)
    first = path.split(".")[0]
    node: Any = area if area is not None and first in type(area).model_fields else config
    for name in path.split("."):
        node = getattr(node, name)
    return node.model_dump(mode="json") if hasattr(node, "model_dump") else _plain(node)


def _strip(_config: Config, area: Aoi | None, part: str | None) -> dict[str, Any]:
    if area is None:
        raise ValueError("a strip belongs to an area")
    # Before a place is chosen, the first place represents the strip.
    chosen = next(s for s in area.strips if s.name == part).sources()[0]
    return {
        "name": chosen.name,
        "path": chosen.path,
        "bands": list(chosen.bands or area.bands),
        "nodata": area.nodata if chosen.nodata is None else chosen.nodata,
        **({"mask": chosen.mask.model_dump()} if chosen.mask else {}),
    }


def _need_px(config: Config, area: Aoi | None, part: str | None) -> int | None:
    is_part = area is not None and (area.extent == "photos" or _shape(config, area, part))
    return area.chips.size_px if area is not None and is_part else None


def _shape(_config: Config, area: Aoi | None, _part: str | None) -> dict[str, Any] | None:
    if area is None or area.area is None or area.ground.geometry is None:
        return None
    return shapes.told(area.area, area.buffer_m)


def _areas(config: Config, _area: Aoi | None, _part: str | None) -> dict[str, Any]:
    return {
        name: {
            "city": area.city,
            "split": area.split,
            "bbox_deg": list(area.bbox_deg),
            "satellite": area.satellite,
            "imagery_license": area.imagery_license,
            "snapshot": area.search.model_dump(mode="json")["snapshot"],
            "gsd_m": area.utm.gsd_m,
            "chip_px": area.chips.size_px,
            **({"shape": shape} if (shape := _shape(config, area, None)) else {}),
        }
        for name, area in config.aois.items()
    }


def _made(config: Config, _area: Aoi | None, _part: str | None) -> dict[str, Any]:
    """Return the keys of the stages before `dataset`, for its provenance; shared values only once.

    Each key already reruns one of these stages and then `dataset`, so listing it adds no reruns.
    """
    told = {name: _made_of(config, area) for name, area in config.aois.items()}
    first = next(iter(told.values()), {})
    shared = [key for key in first if all(own.get(key) == first[key] for own in told.values())]
    return {
        "stages": {stage: literals(stage)[0] for stage in MADE_BY},
        "config": {key: first[key] for key in shared},
        "areas": {
            name: {key: value for key, value in own.items() if key not in shared}
            for name, own in told.items()
        },
    }


def _made_of(config: Config, area: Aoi) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for stage in MADE_BY:
        reads = literals(stage)[1]
        for path in _in_use(reads, area) if stage == "search" else reads:
            value = None if path in _NOT_TOLD else _value(config, area, path, None)
            if value is not None:
                _put(out, path, value)
    photos = [{k: v for k, v in s.items() if k != "state"} for s in _sources(config, area, None)]
    strips = [_strip(config, area, strip.name) for strip in area.strips]
    return out | {"photos": photos, "strips": strips}


def _sources(_config: Config, area: Aoi | None, _part: str | None) -> list[dict[str, Any]]:
    """Return the area's sources as `search` reads them, with the state of folders."""
    out = []
    for source in area.photos if area else ():
        told = source.model_dump(mode="json", exclude=_NOT_LISTED)
        told |= {"kind": source.kind, "path": source.path, "name": source.name or source.kind}
        if source.kind == "folder":
            told["state"] = folder_state(source.path)
        out.append(told)
    return out


def _photo_hosts(_config: Config, area: Aoi | None, _part: str | None) -> list[str]:
    """Return the allowed photo hosts of the area's sources other than Flickr; `*`: any host."""
    fetched = [s for s in (area.photos if area else ()) if s.kind in ("table", "ids", "mapillary")]
    return sorted({host for s in fetched for host in (["*"] if s.hosts is None else s.hosts)})


_DERIVED: dict[str, Callable[[Config, Aoi | None, str | None], Any]] = {
    "utm_epsg": lambda _, area, __: area.utm_epsg if area else None,
    "strip_names": lambda _, area, __: [s.name for s in area.strips] if area else [],
    "need_px": _need_px,
    "shape": _shape,
    "strip": _strip,
    "sources": _sources,
    "made": _made,
    "photo_hosts": _photo_hosts,
    "areas": _areas,
    "chip_m": lambda config, _, __: config.chip_m,
    "weights": lambda config, _, part: weights(config)[str(part)],
}


def _plain(value: Any) -> Any:
    """Convert tuples to lists, so a spec read back from JSON equals the written one."""
    return list(value) if isinstance(value, tuple) else value


def _put(out: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        out = out.setdefault(part, {})
    out[last] = value
