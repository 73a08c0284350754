"""Build a demo folder: imagery, photos, catalog, checkpoint and config of synthetic cities.

All content follows from a seed. Layout of the run folder::

    config.yaml                    as a user writes it; kept when the demo is rebuilt
    world/strips/*.tif             the imagery
    world/pictures/{id}.jpg        files of the stand-in's photo host
    world/catalog.parquet          photos in its API
    world/truth.parquet            true position of each photo, for tests
    world/built.json               written last: inputs of this build
    models/...                     the synthetic Places365 checkpoint
"""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import yaml

from witw import files, stage
from witw.demo.city.cities import AOI_HALF_M, CHECKPOINT, City, choose
from witw.demo.fake_flickr.catalog.records import CatalogPhoto
from witw.demo.fake_flickr.server import (
    Faults,
    FlickrServer,
    folder_pictures,
    load_catalog,
    save_catalog,
)
from witw.errors import UserError

VERSION = 2  # increased when the same seed gives another world
PORT = 18365
CITIES = 10
PHOTOS = 200
JUDGED = 260  # photos in a city used for scores: with few photos, scores are mostly noise
FAULTS = Faults(
    seed=7,
    api_503=0.08,
    api_429=0.05,
    html_200=0.05,
    api_busy=0.05,
    photo_503=0.01,
    photo_429=0.004,
    photo_truncated=0.01,
    photo_reset=0.01,
    retry_after_s=1.0,
    most=2,
)
_HEAD = """\
# A demo of witw on made cities; every key is explained in docs/config.md.
# Change one city's entry and run `make demo` again: only that city's jobs and what follows rerun.
"""


def build(
    run_dir: Path,
    *,
    cities: int = CITIES,
    photos: int = PHOTOS,
    judged: int | None = None,
    seed: int = 0,
    cores: int = 2,
    half_m: float = AOI_HALF_M,
    port: int | None = None,
) -> tuple[City, ...]:
    """Build the world of a demo, or reuse an existing one.

    Args:
        run_dir: The demo's run folder, created if absent.
        cities: Number of cities; from 3 on, one is for validation and one for testing.
        photos: Openly licensed photos per city.
        judged: Photos of the validation and the test city; default: the same number.
        seed: Seed of all synthetic data.
        cores: Number of processes.
        half_m: Half the side of the area in which photos are taken [m].
        port: Port of the stand-in; default: 18365, or any free one if that is taken.

    Returns:
        The cities.

    Raises:
        UserError: The folder contains another world.
    """
    chosen = tuple(replace(city, half_m=half_m) for city in choose(cities))
    counts = [photos if city.split == "train" else judged or photos for city in chosen]
    stamp = {
        "version": VERSION,
        "cities": [city.name for city in chosen],
        "photos": counts,
        "seed": seed,
        "half_m": half_m,
    }
    world = run_dir / "world"
    mark, config = world / "built.json", run_dir / "config.yaml"
    if mark.is_file() and files.read_json(mark) != stamp:
        raise UserError(
            f"{world} contains a demo with other settings; delete {run_dir} or choose another "
            "--dir."
        )
    if not mark.is_file():
        _build_world(run_dir, chosen, counts, seed, cores)
        files.write_json(mark, stamp)
    if not config.is_file():
        write_config(config, chosen, port or _free_port(PORT))
    return chosen


def _build_world(
    run_dir: Path, cities: tuple[City, ...], photos: Sequence[int], seed: int, cores: int
) -> None:
    """Draw all cities and the checkpoint in separate processes.

    Importing osgeo here would set PROJ_DATA for every process started afterwards.
    """
    world = run_dir / "world"
    for folder in (world / "strips", world / "pictures", run_dir / "models"):
        folder.mkdir(parents=True, exist_ok=True)
    # Processes are not forked, because torch may have threads in this one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(1, cores), mp_context=context) as pool:
        model = pool.submit(_checkpoint, run_dir / "models" / CHECKPOINT, seed)
        jobs = [
            pool.submit(build_city, world, city, number, count, seed)
            for number, (city, count) in enumerate(zip(cities, photos, strict=True))
        ]
        done = [job.result() for job in stage.progress(jobs, "made cities", total=len(jobs))]
        model.result()
    save_catalog(world / "catalog.parquet", [photo for catalog, _ in done for photo in catalog])
    truths = pd.concat([table for _, table in done]).sort_values("id", ignore_index=True)
    with files.atomic(world / "truth.parquet") as part:
        truths.to_parquet(part, index=False)


def _checkpoint(path: Path, seed: int) -> None:
    # Imports torch, which an existing demo does not need.
    from witw.demo.places365 import make_checkpoint

    if not path.is_file():
        make_checkpoint(path, seed)


def build_city(
    world_dir: Path, city: City, number: int, count: int, seed: int
) -> tuple[list[CatalogPhoto], pd.DataFrame]:
    """Write a city's strips and pictures.

    Returns:
        Its photos for the catalog, and their true positions.
    """
    # Imported here, in a process of the pool: see _build_world.
    from witw.demo import photos, strips
    from witw.demo.city.raster import rasterise
    from witw.demo.city.world import World

    world = World(1_000 * seed + number + 1)
    raster = rasterise(world, city.raster_half_m)
    strips.write_strips(city, raster, world_dir / "strips", seed + number)
    shots = photos.plan(city, number, raster, count, seed)
    for shot in shots:
        path = world_dir / "pictures" / f"{shot.photo.id}.jpg"
        path.write_bytes(photos.shoot(shot, world, raster, seed))
    return [shot.photo for shot in shots], photos.truth(city, shots)


def write_config(path: Path, cities: tuple[City, ...], port: int) -> None:
    """Write the demo's ``config.yaml``."""
    host = f"http://127.0.0.1:{port}"
    config: dict[str, Any] = {
        "flickr": {
            "api_url": f"{host}/services/rest/",
            "photo_hosts": [host],
            "contact": "demo@localhost",
        },
        "defaults": {
            "satellite": "made",
            "imagery_license": "CC0-1.0",
            "shards": 1,
            "scenes": {"checkpoint": f"models/{CHECKPOINT}", "arch": "resnet18"},
            # A minute faster than Lanczos on two cores.
            "utm": {"resampling": "cubic"},
        },
        "aois": {city.name: _aoi(city) for city in cities},
        # Small enough for two cores and a few minutes.
        "pack": {"chip_px": 96, "photo_px": 64, "jpeg_quality": 95},
        "train": {
            "width": 48,
            "blocks": 1,
            "embed_dim": 64,
            "headings": 64,
            "polar_rows": 24,
            # A map shows little of a photo except near the horizon; the rest is mostly sky and
            # street.
            "photo_rows": 48,
            "photo_band": 0.35,
            "shift_m": 3.0,  # in addition to the 8 m error of the geotags
            "epochs": 28,
            "batch": 64,
            "learning_rate": 0.005,
            "weight_decay": 1.0,
            "ema": 0.99,
        },
    }
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, default_flow_style=None)
    files.write_text(path, _HEAD + text)


def _aoi(city: City) -> dict[str, Any]:
    names = [city.name]
    if city.imagery == "two_strips":
        names = [f"{city.name}_west", f"{city.name}_east"]
    entry: dict[str, Any] = {
        "bbox_deg": list(city.bbox_deg),
        "strips": [f"world/strips/{name}.tif" for name in names],
    }
    if city.split != "train":
        entry["split"] = city.split
    if city.shards != 1:
        entry["shards"] = city.shards
    return entry


def _free_port(wanted: int) -> int:
    """Return ``wanted`` if that port is free, else any free port."""
    for port in (wanted, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as probe:
                return int(probe.getsockname()[1])
        except OSError:
            continue
    raise UserError(
        "No port of 127.0.0.1 is free for the demo's Flickr stand-in; close other "
        "programs and run again."
    )


@contextmanager
def served(run_dir: Path, faults: Faults | None = FAULTS) -> Iterator[FlickrServer]:
    """Run the stand-in for a built demo, on the port in its config.

    Args:
        run_dir: Run folder from :func:`build`.
        faults: Deliberate faults; None: none.

    Raises:
        UserError: The port is taken; the message says how to continue.
    """
    config = run_dir / "config.yaml"
    port = urlsplit(yaml.safe_load(config.read_text())["flickr"]["api_url"]).port or 80
    world = run_dir / "world"
    catalog, pictures = load_catalog(world / "catalog.parquet"), folder_pictures(world / "pictures")
    try:
        server = FlickrServer(catalog, pictures, port=port, faults=faults)
    except UserError:
        raise UserError(
            f"Port {port} of 127.0.0.1, set in {config}, is taken; end the program that uses it, "
            "or set a free port there (searches and downloads then run again)."
        ) from None
    with server:
        yield server
