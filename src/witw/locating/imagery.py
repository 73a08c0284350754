"""Imagery of one's own, prepared and indexed once in a folder beside it.

``city.tif`` gets the folder ``city.witw``: the prepared raster, and an index for each network. It
is made anew when the file, or what is asked of it, has changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rasterio.errors import RasterioError

from witw import files, model_facts, spec
from witw.errors import UserError
from witw.settings.index import Index

log = logging.getLogger("witw")

STATE, MOSAIC = "imagery.json", "mosaic.vrt"  # as in witw.locating.prepare, which imports osgeo
STAGES = ("stats", "stretch", "utm", "mosaic")
CELLS = "cells.safetensors"


@dataclass(frozen=True)
class Prepared:
    """A raster that can be indexed.

    Attributes:
        name: for people.
        mosaic: in UTM.
        bbox_deg: west, south, east, north, EPSG:4326.
        pixel_m: of the imagery as it was given [m].
    """

    name: str
    mosaic: Path
    bbox_deg: tuple[float, float, float, float]
    pixel_m: float


def folder_of(imagery: Path, cache: Path | None = None) -> Path:
    """Return the folder for the files made from imagery: beside it, or in ``cache``."""
    return (cache or imagery.parent) / f"{imagery.stem}.witw"


def check(imagery: Path, cache: Path | None = None) -> None:
    """Check that imagery and the cache folder exist.

    Raises:
        UserError: one of them does not.
    """
    if imagery.is_dir():
        raise UserError(f"Imagery {imagery} is a folder; name a raster file in it.")
    if not imagery.is_file():
        raise UserError(f"Imagery {imagery} does not exist; give a raster file.")
    if cache is not None and not cache.is_dir():
        raise UserError(f"--cache {cache} is not a folder.")


def prepare(
    imagery: Path,
    bands: Sequence[int] | None = None,
    nodata: float | str = "auto",
    cache: Path | None = None,
    threads: int = 1,
) -> Prepared:
    """Prepare imagery, unless it has been.

    Args:
        imagery: any raster that GDAL opens, in any CRS.
        bands: numbers of red, green and blue; default: what the file tells.
        nodata: as in the config.
        cache: folder for what is made; default: the imagery's.
        threads: CPU threads.

    Raises:
        UserError: the raster cannot be used, or the folder cannot be written.
    """
    check(imagery, cache)
    found, folder = imagery.stat(), folder_of(imagery, cache)
    wanted = {
        "imagery": str(imagery.resolve()),
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "bands": list(bands) if bands else None,
        "nodata": nodata,
        "versions": {name: spec.literals(name)[0] for name in STAGES},
    }
    with _held(folder):
        state = _state(folder)
        if {name: state.get(name) for name in wanted} != wanted:
            log.info("preparing %s in %s", imagery, folder)
            _run(imagery, folder, wanted, threads)
            state = _state(folder)
    box = state["bbox_deg"]
    edges = (box[0], box[1], box[2], box[3])
    return Prepared(imagery.stem, folder / MOSAIC, edges, state["pixel_m"])


def indexed(
    prepared: Prepared, model: Path, folder: Path, step_m: float | None = None, threads: int = 1
) -> Path:
    """Index imagery for a network, unless it has been.

    Args:
        prepared: the imagery.
        model: the network.
        folder: where indexes lie, one a network.
        step_m: distance between cells; default: the config's [m].
        threads: CPU threads.

    Returns:
        The file of the cells.

    Raises:
        UserError: the model is none, or no cell has imagery.
    """
    from witw.cvig import index  # torch: a user's mistake is told without waiting seconds for it

    step_m = step_m or Index().step_m
    at = folder / f"index-{index_key(model, step_m)}"
    with _held(at):
        if not at.is_dir():
            log.info("indexing %s in %s", prepared.name, at)
            wanted = {
                "aoi": prepared.name,
                "bbox_deg": list(prepared.bbox_deg),
                "index": {"step_m": step_m},
            }
            with files.atomic_dir(at) as part:
                try:
                    index.run(wanted, model, prepared.mosaic, part / CELLS, threads)
                except RasterioError as error:
                    raise UserError(
                        f"{prepared.mosaic} cannot be read; delete {folder} and run again."
                    ) from error
    return at / CELLS


def warn_of_pixels(prepared: Prepared, model: Path) -> None:
    """Say that imagery shows less than the network was made for."""
    shape = model_facts.read_facts(model)["architecture"]
    pixel_m = shape["chip_m"] / shape["chip_px"]
    if prepared.pixel_m > 1.5 * pixel_m:
        log.warning(
            "the pixels of %s are %.1f m wide, and the network was made for %.1f m: it will "
            "recognise little", prepared.name, prepared.pixel_m, pixel_m,
        )  # fmt: skip


def index_key(model: Path, step_m: float) -> str:
    """Hash what an index depends on beside the imagery: the network's tensors and shape."""
    facts = model_facts.read_facts(model)
    parts = facts["architecture"], facts["tensors_crc32"], step_m, spec.literals("index")[0]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _state(folder: Path) -> dict[str, Any]:
    """Read what a folder was made from; empty if its files are not complete."""
    try:
        state: dict[str, Any] = files.read_json(folder / STATE)
        files.check_xml(folder / MOSAIC)
    except (OSError, UserError):
        return {}
    return state if isinstance(state, dict) else {}


def _run(imagery: Path, folder: Path, wanted: dict[str, Any], threads: int) -> None:
    """Prepare in a process of its own; its progress goes to this one's terminal."""
    command = [sys.executable, "-m", "witw.locating.prepare", "--imagery", str(imagery.resolve())]
    command += ["--folder", str(folder.resolve()), "--wanted", json.dumps(wanted)]
    command += ["--name", imagery.stem, "--threads", str(threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        ended = f"{imagery} could not be prepared (exit code {done.returncode})."
        raise UserError(done.stdout.strip() or ended)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder, existing or to be made, against other processes.

    Raises:
        UserError: its parent cannot be written.
    """
    path = folder.parent / f".{folder.name}.lock"
    try:
        handle = _locked(path)
    except OSError as error:
        if folder.is_dir():  # made before, on a disk that is read only
            yield
            return
        raise UserError(
            f"{folder.parent} cannot be written ({os.strerror(error.errno or 0)}); name another "
            "folder with --cache."
        ) from None
    with handle:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path) -> IO[str]:
    """Open and lock a file; wait for the process that holds it.

    The holder removes the file at its end, so a lock counts only while the path names its file.
    """
    while True:
        handle = path.open("a")
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                return handle
        except FileNotFoundError:
            pass
        handle.close()
