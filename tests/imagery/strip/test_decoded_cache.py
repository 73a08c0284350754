"""The cache from stats to utm saves the second decoding and never changes a byte."""

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from servers import ranges

from witw.imagery import stats, stretch, utm
from witw.imagery.strip import blocks, decoded_cache

BOX = [2.9, 36.0, 3.1, 36.2]
PLACE = (500_100.0, 0.3, 0, 3_990_000.0, 0, -0.3)
DAMAGED = (
    lambda data: data[:100] + bytes([data[100] ^ 4]) + data[101:],  # a unit of the first row
    lambda data: data[:-1],
    lambda data: data[: len(data) // 2],
    lambda data: b"",
    lambda data: data[:-8] + b"\xff" * 8,
    lambda data: data.replace(b'"bands": [1', b'"bands": [9'),
    lambda data: data.replace(b'"sums": [', b'"sums": [7, '),
)


@pytest.fixture
def town(request, tif, area, rng):
    """Return a strip of several units, not yet counted."""
    data = rng.integers(1, 250, (3, 700, 900)).astype(getattr(request, "param", "u2"))
    data[:, 300:, :200] = 0
    tiled = {"TILED": "YES", "BLOCKXSIZE": 256, "BLOCKYSIZE": 256, "COMPRESS": "DEFLATE"}
    path = tif("strip.tif", data, PLACE, nodata=0, **tiled)
    return area([path], BOX, bands=[1, 2, 3], stretch={"eight_bit": "stretch"})


def count(town, threads=2):
    """Run `stats`; return its output and its cache file."""
    out = town.strip("strip", "stats.json")
    stats.run(town.spec("stats", "strip"), out, threads)
    return out.read_bytes(), decoded_cache.beside(out)


def warp(town, threads=2):
    """Run `utm`; return its bytes."""
    stretch.run(
        town.spec("stretch"), [town.strip("strip", "stats.json")], town.root / "stretch.json"
    )
    path = town.strip("strip", "utm.tif")
    utm.run(town.spec("utm", "strip"), town.root / "stretch.json", path, threads)
    return path.read_bytes()


@pytest.fixture
def units_read(monkeypatch):
    """Return the units decoded from the strip itself."""
    seen, read = [], blocks.Reader._read

    def noted(self, bands, unit):
        seen.append(unit)
        return read(self, bands, unit)

    monkeypatch.setattr(blocks.Reader, "_read", noted)
    return seen


@pytest.mark.parametrize("town", ["u1", "u2", "i2"], indirect=True)
def test_utm_decodes_nothing_again_and_removes_what_was_kept(town, units_read):
    _, kept = count(town)
    assert kept.is_file() and len(units_read) == 4
    warp(town)
    assert len(units_read) == 4
    assert not kept.exists()
    assert not [p for p in kept.parent.iterdir() if p.name.startswith(".")]
    first = town.strip("strip", "utm.tif").read_bytes()
    assert warp(town) == first  # from the strip itself
    assert len(units_read) == 8


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_units_are_read_from_the_strip(town, units_read, damage):
    _, kept = count(town)
    whole = warp(town)
    count(town)
    data = kept.read_bytes()
    kept.write_bytes(damage(data))
    assert kept.read_bytes() != data
    units_read.clear()
    assert warp(town) == whole
    assert units_read


def test_a_cache_of_an_older_strip_is_not_used(town, units_read):
    _, kept = count(town)
    os.utime("strip.tif", ns=(1, 1))
    units_read.clear()
    warp(town)
    assert len(units_read) == 4 and not kept.exists()


def test_nothing_is_cached_if_the_disk_would_fill(town, monkeypatch):
    usage = namedtuple("usage", "total used free")
    size = 3 * 700 * 900 * 2
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: usage(0, 0, size))
        alone, kept = count(town)
    assert not kept.exists()
    assert count(town)[0] == alone and kept.exists()


def test_a_full_disk_costs_only_the_cache(town, monkeypatch):
    alone, kept = count(town)
    write, calls = os.pwrite, []

    def refused(handle, data, offset):
        calls.append(offset)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data, offset)

    monkeypatch.setattr(os, "pwrite", refused)
    assert count(town, threads=1)[0] == alone
    assert not kept.exists() and len(calls) == 3
    assert not [p for p in kept.parent.iterdir() if p.name.startswith(".")]


def test_a_sampled_stretch_caches_nothing(tif, area, rng):
    data = rng.integers(1, 900, (3, 60, 60)).astype("u2")
    path = tif("strip.tif", data, PLACE)
    town = area([path], BOX, bands=[1, 2, 3], extent="photos", split="train")
    assert not count(town)[1].exists()


def test_a_remote_strip_is_fetched_once(tif, area, rng):
    """The strip is too large for GDAL's cache of an address."""
    data = rng.integers(1, 60_000, (3, 2200, 2200)).astype("u2")
    blocks_px = {"TILED": "YES", "BLOCKXSIZE": 512, "BLOCKYSIZE": 512}
    size = Path(tif("served/strip.tif", data, PLACE, **blocks_px)).stat().st_size
    with ranges("served") as server:
        town = area([f"{server.url}/strip.tif"], BOX, bands=[1, 2, 3])
        server.taken()
        count(town)
        assert server.taken()["sent"] >= 0.9 * size
        warp(town)
        assert server.taken()["sent"] <= 0.05 * size
