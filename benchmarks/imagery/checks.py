"""Results of `imagery.py` besides times: physical limit, geometry and radiometry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import simplejpeg
from osgeo import gdal, osr
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.windows import Window

from witw.config import load
from witw.geo import utm_epsg
from witw.imagery import rgb8, stats, stretch, utm
from witw.imagery.warp import kernel, resample
from witw.spec import build

STAGES = ("stats", "stretch", "rgb8", "utm", "mosaic", "chips")
DISK_BYTES_S = 2.5e9


def best(function: Callable[[], Any], times: int = 3) -> float:
    """Return the shortest time of a call [s]."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def decode_rate(strip: Path) -> float:
    """Return the decoding rate of one thread, all bands of a pixel together [MPix/s]."""
    with rasterio.Env(GDAL_CACHEMAX=16 << 20), rasterio.open(strip) as file:
        side = 512 * min(6, file.width // 512, file.height // 512)
        blocks = [
            Window(file.width // 2 + x, y, 512, 512)
            for y in range(0, side, 512)
            for x in range(0, side // 2, 512)
        ]
        return len(blocks) * 0.262 / best(lambda: [file.read(1, window=b) for b in blocks])


def kernel_rate() -> float:
    """Return the resampling rate of one thread [MPix/s]."""
    patch = np.random.default_rng(0).integers(0, 256, (600, 700, 4)).astype(np.uint8)
    patch[..., 3] = 1
    v, u = np.mgrid[0:513:64, 0:513:64].astype(float)
    taps, out = kernel.taps("lanczos", (0.81, 1.0)), np.zeros((512, 512), np.uint32)
    room = np.empty(4 * 300 * 300, np.float32)
    x, y = 10.3 + u / 0.81, 10.7 + v
    words = (patch, x, y, 64, taps.x, taps.y, taps.before, taps.span, out, (512, 512), room)
    resample.resample(*words)
    return 0.262 / best(lambda: resample.resample(*words), 20)


def limit(case: Any, total: dict[str, float]) -> None:
    """Print the theoretical bound from rates measured now, and witw's ratio to it."""
    root = case.strip.parent / "ours"
    with rasterio.open(root / "s.utm.tif") as file:
        target = file.width * file.height / 1e6
        middle = Window(file.width // 2, file.height // 2, 750, 750)
        chip = np.ascontiguousarray(file.read(window=middle).transpose(1, 2, 0))
    jpeg = best(lambda: simplejpeg.encode_jpeg(chip, quality=95, colorsubsampling="444"), 20)
    decode, warp = decode_rate(case.strip), kernel_rate()
    source = case.width * case.height / 1e6
    cpu = source / decode + target / warp + case.count * jpeg
    bound = (case.strip.stat().st_size / DISK_BYTES_S + cpu) / 2
    start = 0.0
    for name in STAGES:
        words = [sys.executable, "-c", f"import witw.imagery.{name}"]
        start += best(lambda words=words: subprocess.run(words, check=True), 2)
    print(
        f"limit: decode {decode:.1f} and warp {warp:.1f} MPix/s a core, JPEG {1000 * jpeg:.2f} ms: "
        f"{bound:.2f} s on two cores; ours {total['wall']:.2f} s, start-up {start:.2f} s: "
        f"{(total['wall'] - start) / bound:.2f} x the limit without start-up"
    )


def chain(folder: Path, path: Path, box: list[float], engine: str, **keys: Any) -> Path:
    """Write the UTM raster of one strip, in this process."""
    config = load({"aois": {"town": {"bbox_deg": box, "strips": [str(path)], **keys}}})
    name = config.aois["town"].strips[0].name
    spec = {s: json.loads(build(config, s, "town", name)) for s in ("stats", "rgb8", "utm")}
    spec["utm"]["utm"]["engine"] = engine
    counts, limits, vrt = (folder / n for n in ("s.stats.json", "stretch.json", "s.rgb8.vrt"))
    stats.run(spec["stats"], counts, 2)
    stretch.run(json.loads(build(config, "stretch", "town")), [counts], limits)
    rgb8.run(spec["rgb8"], limits, vrt)
    tif = folder / f"{engine}.tif"
    utm.run(spec["utm"], limits, tif, 2)
    return tif


def cosine(path: Path, lat: float, wave: float, n: int = 600) -> tuple[float, ...]:
    """Write an image whose columns form a cosine; return the geotransform."""
    place = (2.3, 2.7e-6, 0, lat, 0, -2.7e-6)
    row = 127.5 + 127.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / wave)
    data = np.tile(np.rint(row).astype(np.uint8), (n, 1))
    ds = gdal.GetDriverByName("GTiff").Create(str(path), n, n, 3, gdal.GDT_Byte)
    ds.SetGeoTransform(place)
    srs = osr.SpatialReference()
    srs.ImportFromEPSG(4326)
    ds.SetProjection(srs.ExportToWkt())
    for band in (1, 2, 3):
        ds.GetRasterBand(band).WriteArray(data)
    return place


def geometry(folder: Path, wave: float = 4.0) -> None:
    """Print shift and residual of a cosine of ``wave`` source pixels, at four latitudes."""
    folder.mkdir(parents=True, exist_ok=True)
    for lat in (0.5, 36.1, 56.2, -23.0):
        path = folder / "cosine.tif"
        place = cosine(path, lat, wave)
        box = [2.29, lat - 0.01, 2.31, lat + 0.01]
        with rasterio.open(chain(folder, path, box, "sweep", bands=[1, 2, 3])) as file:
            data, to_m = file.read(1).astype(float), file.transform
        rows, cols = np.mgrid[: data.shape[0], : data.shape[1]] + 0.5
        to_deg = Transformer.from_crs(utm_epsg(2.3, lat), 4326, always_xy=True)
        lon, north = to_deg.transform(*(to_m * (cols, rows)))
        x, y = (lon - place[0]) / place[1], (north - place[3]) / place[5]
        inside = (np.minimum(x, y) > 12) & (np.maximum(x, y) < 588)
        angle = 2 * np.pi * x[inside] / wave
        terms = np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], axis=1)
        fit, *_ = np.linalg.lstsq(terms, data[inside])
        shift = np.arctan2(fit[1], fit[0]) / (2 * np.pi) * wave
        rest = np.sqrt(np.mean((terms @ fit - data[inside]) ** 2))
        print(f"cosine at {lat}: shift {shift:+.5f} px, residual {rest:.2f} grey levels (rms)")


def radiometry(folder: Path, strip: Path) -> None:
    """Compare the sweep with GDAL at exact positions, in a window, 8 px from any edge."""
    folder.mkdir(parents=True, exist_ok=True)
    with rasterio.open(strip) as file:
        side = min(3000, file.width, file.height)
        corner = (0, file.height - side)
        lon, lat = file.transform * corner
    cut = folder / "cut.tif"
    gdal.Translate(str(cut), str(strip), srcWin=[*corner, side, side])
    box = [lon - 0.1, lat - 0.1, lon + 0.1, lat + 0.1]
    keys = {"bands": [5, 3, 2], "nodata": 0}
    usual, utm.MAX_SHIFT_PX = utm.MAX_SHIFT_PX, 0
    pair = [gdal.Open(str(chain(folder, cut, box, name, **keys))) for name in ("sweep", "gdal")]
    utm.MAX_SHIFT_PX = usual
    masks = [ds.GetRasterBand(1).GetMaskBand().ReadAsArray() > 0 for ds in pair]
    inside = np.pad(masks[0] & masks[1], 1)
    for _ in range(8):
        for axis in (0, 1):
            inside = inside & np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
    off = np.abs(np.subtract(*(ds.ReadAsArray().astype(np.int16) for ds in pair)))
    off = off[:, inside[1:-1, 1:-1]]
    print(
        f"radiometry against GDAL {gdal.__version__}, {off.size / 1e6:.1f} M values: "
        f"max {off.max()} grey level, {(off == 0).mean():.3%} equal; "
        f"masks differ in {(masks[0] != masks[1]).sum()} of {masks[0].size} pixels"
    )


def chroma() -> None:
    """Print the loss and the saving from chroma subsampling on the colours of a real tile.

    A sensor's colours are four times coarser than its brightness, so 4:2:0 might seem free. The
    tile is from SpaceNet 6 (1 m, blue, green, red, near infrared), magnified to 0.3 m.
    """
    data = Path(os.environ.get("WITW_REAL_DATA", "../shared/data"))
    path = data / "spacenet_tiles" / "solaris_AOI_11_Rotterdam_ms1.tif"
    if not path.is_file():
        print(f"chroma: {path} does not exist; set WITW_REAL_DATA")
        return
    with rasterio.open(path) as file:
        side = int(min(file.width, file.height) * file.res[0] / 0.3)
        bands = file.read((3, 2, 1), out_shape=(side, side), resampling=Resampling.cubic)
    low, high = np.percentile(bands, (2, 98), axis=(1, 2))[..., None, None]
    levels = np.clip(np.rint((bands - low) / (high - low) * 255), 0, 255)
    chip = np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0))
    for quality, kind in ((95, "444"), (95, "420"), (90, "444"), (75, "420")):
        jpeg = simplejpeg.encode_jpeg(chip, quality=quality, colorsubsampling=kind)
        off = simplejpeg.decode_jpeg(jpeg, fastupsample=False).astype(float) - chip
        psnr = 10 * np.log10(255**2 / np.mean(off**2))
        took = best(
            lambda q=quality, k=kind: simplejpeg.encode_jpeg(chip, quality=q, colorsubsampling=k), 9
        )
        size = len(jpeg) / chip[..., 0].size * 750**2 / 1024
        print(
            f"JPEG q{quality} {kind}: {psnr:.1f} dB, {size:.0f} KiB and "
            f"{1000 * took / chip[..., 0].size * 750**2:.2f} ms a chip of 750 x 750"
        )
