"""The workflow through `pairs` on real satellite tiles and ordinary photographs.

The tiles are Las Vegas (one 11-bit band, EPSG:4326), Rotterdam (four bands of integers stored as
float64, 1 m) and Atlanta (one band, nodata 0, 0.5 m). The stand-in serves the photographs.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from PIL import Image
from pyproj import Transformer
from rasterio.warp import transform_bounds

from witw.demo.fake_flickr.server import CatalogPhoto, Faults, FlickrServer
from witw.demo.places365 import make_checkpoint

pytestmark = [pytest.mark.real, pytest.mark.workflow, pytest.mark.long]
ROOT = Path(__file__).parents[2]
CHIP_M = 225.0
TILES = {
    "vegas": ("solaris_AOI_2_Vegas_PAN_1300.tif", [1, 1, 1]),
    "rotterdam": ("solaris_AOI_11_Rotterdam_ms1.tif", [3, 2, 1]),
    "atlanta": ("solaris_AOI_6_Atlanta_WV2_1band_utm16n.tif", [1, 1, 1]),
}
# Offsets of the geotags from the tile's centre [m]; the last one is in the box but off the tile.
OFFSETS = [(0, 0), (13.7, -9.2), (-31.3, 22.9), (30.1, 30.4), (-27.7, -35.3), (36.6, 0.3)]
FAR = (800.0, 800.0)


@dataclass
class Run:
    """A finished run: its folder, its tables and its tiles."""

    folder: Path
    tiles: dict[str, Path]

    def pairs(self, aoi: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "results" / aoi / "pairs.parquet")


def catalog(tiles: dict[str, Path], photos: list[Path]) -> tuple[list[CatalogPhoto], dict]:
    """Return six photographs around each tile's centre, one far off, one with little imagery."""
    listed, files = [], {}
    for city, tile in enumerate(tiles.values()):
        with rasterio.open(tile) as source:
            west, south, east, north = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
        lon, lat = (west + east) / 2, (south + north) / 2
        metre_lat = 1 / 111_200
        metre_lon = metre_lat / np.cos(np.radians(lat))
        for number, (dx, dy) in enumerate([*OFFSETS, (140.0, 0.0), FAR]):
            photo_id = str(50_000_000_000 + 1000 * city + number)
            files[photo_id] = photos[(8 * city + number) % len(photos)]
            listed.append(
                CatalogPhoto(
                    id=photo_id,
                    owner="1234@N00",
                    owner_name="someone",
                    title=f"<b>{number}</b> & co",
                    lat=lat + dy * metre_lat,
                    lon=lon + dx * metre_lon,
                    accuracy=16,
                    license_id=4,
                    date_upload=1_500_000_000 + number,
                    date_taken="2017-07-01 12:00:00",
                    secret="abc123",
                    server="65535",
                    removed="",
                    has_url=number != 3,
                )
            )
    return listed, files


@pytest.fixture(scope="module")
def run(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("real")
    tiles = {name: real_data / "spacenet_tiles" / file for name, (file, _) in TILES.items()}
    listed, files = catalog(tiles, sorted((real_data / "photos_io").glob("*.jpg")))
    make_checkpoint(folder / "made_resnet18_places365.pth.tar")
    aois = {}
    for name, tile in tiles.items():
        with rasterio.open(tile) as source:
            west, south, east, north = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
        # Relative, as a user would write the path; both GDAL and Snakemake must find it.
        path = os.path.relpath(tile, folder)
        aois[name] = {
            "bbox_deg": [west - 0.02, south - 0.02, east + 0.02, north + 0.02],
            "bands": TILES[name][1],
            "strips": [path],
        }
    with FlickrServer(listed, lambda photo: files[photo].read_bytes(), faults=Faults(7)) as server:
        config = {
            "flickr": {"api_url": server.api_url, "photo_hosts": [server.photo_host]},
            "defaults": {
                "shards": 1,
                "scenes": {"checkpoint": "made_resnet18_places365.pth.tar"},
                # The synthetic network knows no real scenes, so every photo is kept.
                "pairs": {"min_outdoor_vote": 0.0, "max_blank_fraction": 0.1},
            },
            "aois": aois,
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
            + ["--directory", str(folder), "--cores", "2"]
            + [f"results/{name}/pairs.parquet" for name in tiles],
            env={**os.environ, "FLICKR_API_KEY": "0123456789abcdef0123456789abcdef"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return Run(folder, tiles)


@pytest.mark.parametrize("aoi", TILES)
def test_funnel_adds_up(run: Run, aoi: str) -> None:
    pairs = run.pairs(aoi)
    assert len(pairs) == len(OFFSETS) + 2
    assert pairs["status"].value_counts().to_dict() == {
        "paired": len(OFFSETS),
        "blank": 1,
        "off_imagery": 1,
    }


@pytest.mark.parametrize("aoi", TILES)
def test_chips_are_square_and_full(run: Run, aoi: str) -> None:
    pairs = run.pairs(aoi)
    for row in pairs[pairs["status"] == "paired"].itertuples():
        with Image.open(run.folder / row.chip_path) as chip:
            assert chip.size == (750, 750)
            assert chip.mode == "RGB"
        assert (run.folder / row.photo_path).stat().st_size == row.photo_bytes


@pytest.mark.parametrize("aoi", TILES)
def test_chips_land_where_they_should(run: Run, aoi: str) -> None:
    """Every chip's content is centred on its photo to half a pixel (0.15 m)."""
    pairs = run.pairs(aoi)
    for row in pairs[pairs["status"] == "paired"].itertuples():
        with Image.open(run.folder / row.chip_path) as image:
            chip = np.asarray(image, dtype=float).mean(axis=2)
        expected = expected_patch(run.tiles[aoi], TILES[aoi][1], row.lon, row.lat, row.epsg)
        shift, correlation = measured_shift(expected, chip)
        assert correlation > 0.97, row.id
        # Half a pixel for snapping to the grid, a twentieth for the measurement.
        assert np.all(np.abs(shift) <= 0.55), (row.id, shift)


def expected_patch(tile: Path, bands: list[int], lon: float, lat: float, epsg: int) -> np.ndarray:
    """The 750 x 750 square of 0.3 m pixels centred on a point, bilinear from the source raster.

    An independent route: pyproj, the tile's affine and numpy; no warper, no mosaic.
    """
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    steps = (np.arange(750) + 0.5) * 0.3 - CHIP_M / 2
    east, north = np.meshgrid(x + steps, y - steps)
    with rasterio.open(tile) as source:
        to_source = Transformer.from_crs(epsg, source.crs, always_xy=True)
        sx, sy = to_source.transform(east.ravel(), north.ravel())
        inverse = ~source.transform
        cols = inverse.a * np.asarray(sx) + inverse.b * np.asarray(sy) + inverse.c
        rows = inverse.d * np.asarray(sx) + inverse.e * np.asarray(sy) + inverse.f
        values = np.stack([stretched(source.read(band)) for band in bands]).mean(axis=0)
    cols, rows = cols - 0.5, rows - 0.5
    c0, r0 = np.floor(cols).astype(int), np.floor(rows).astype(int)
    fc, fr = cols - c0, rows - r0
    top = values[r0, c0] * (1 - fc) + values[r0, c0 + 1] * fc
    bottom = values[r0 + 1, c0] * (1 - fc) + values[r0 + 1, c0 + 1] * fc
    return (top * (1 - fr) + bottom * fr).reshape(750, 750)


def stretched(band: np.ndarray) -> np.ndarray:
    valid = band[band > 0]
    low, high = np.percentile(valid, [2, 98])
    return np.clip((band - low) / (high - low), 0, 1) * 255


def measured_shift(expected: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, float]:
    """Sub-pixel shift (x, y) [px] of ``seen`` against ``expected``: least squares on gradients.

    Both are blurred first, so that the two resampling kernels differ little.
    """
    expected, seen = blurred(expected), blurred(seen)
    gy, gx = np.gradient(expected)
    inner = np.s_[20:-20, 20:-20]
    columns = [-gx[inner], -gy[inner], expected[inner], np.ones_like(gx[inner])]
    design = np.stack([c.ravel() for c in columns], axis=1)
    solution, *_ = np.linalg.lstsq(design, seen[inner].ravel(), rcond=None)
    correlation = np.corrcoef(design @ solution, seen[inner].ravel())[0, 1]
    return solution[:2] / solution[2], float(correlation)


def blurred(image: np.ndarray, sigma: float = 3.0) -> np.ndarray:
    fy = np.fft.fftfreq(image.shape[0])[:, None]
    fx = np.fft.fftfreq(image.shape[1])[None, :]
    gain = np.exp(-2 * (np.pi * sigma) ** 2 * (fx**2 + fy**2))
    return np.fft.ifft2(np.fft.fft2(image) * gain).real
