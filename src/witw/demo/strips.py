"""Write a synthetic city's imagery: 8 bands of 11 bits in 16, as GeoTIFFs like delivered ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from osgeo import gdal, osr

from witw.demo.city.cities import MARGIN_M, City
from witw.demo.city.materials import bands
from witw.demo.city.raster import RES_M, CityRaster
from witw.files import atomic

gdal.UseExceptions()

GSD_M = 2 * RES_M
OVERLAP_M = 120.0
DN_MAX = 2047  # 11 bits
_SUN_DN = 2000.0  # contribution of a white surface in the sun
# Light scattered by the air, stronger towards blue: coastal, blue, ... NIR2.
_HAZE = np.array([0.095, 0.075, 0.052, 0.043, 0.036, 0.031, 0.022, 0.018])
_OPTIONS = (
    "TILED=YES",
    "BLOCKXSIZE=256",
    "BLOCKYSIZE=256",
    "COMPRESS=DEFLATE",
    "ZLEVEL=1",
    "PREDICTOR=2",
    "INTERLEAVE=PIXEL",
)


def write_strips(city: City, raster: CityRaster, folder: Path, seed: int) -> list[Path]:
    """Write the city's strips.

    Args:
        city: Defines the kind of imagery.
        raster: The city seen from above.
        folder: Output folder; files are named after the city.
        seed: Seed of the sensor noise.

    Returns:
        The files, topmost first.
    """
    values = _digital_numbers(raster, seed)
    if city.imagery == "two_strips":
        middle = values.shape[2] // 2
        half = int(OVERLAP_M / GSD_M / 2)
        # The second strip is from another day: clearer air, a little more light.
        later = (values[:, :, middle - half :] * 1.07 - 15).clip(1, DN_MAX).astype(np.uint16)
        parts = {"west": (values[:, :, : middle + half], 0), "east": (later, middle - half)}
        paths = []
        for name, (part, column) in parts.items():
            paths.append(folder / f"{city.name}_{name}.tif")
            _save(paths[-1], _utm(city, raster, part, column), None)
        return paths
    path = folder / f"{city.name}.tif"
    if city.imagery == "wedge":
        n = values.shape[1]
        row, column = np.mgrid[0:n, 0:n]
        values[:, row + column > 1.68 * n] = 0
    dataset = _utm(city, raster, values, 0)
    if city.imagery == "degrees":
        dataset = _to_degrees(city, dataset)
    _save(path, dataset, 0 if city.imagery in ("wedge", "degrees") else None)
    return [path]


def _digital_numbers(raster: CityRaster, seed: int) -> NDArray[np.uint16]:
    """Return values of the eight bands, (8, rows, columns), from 1 up."""
    rng = np.random.default_rng([seed, 21])
    # A strip's pixel is the mean of two by two raster cells below it.
    corners = [(slice(i, None, 2), slice(j, None, 2)) for i in (0, 1) for j in (0, 1)]
    material = [np.ascontiguousarray(raster.above[corner]) for corner in corners]
    light = [raster.above_light[corner] * np.float32(_SUN_DN / 4) for corner in corners]
    n = len(material[0])
    out = np.empty((8, n, n), dtype=np.uint16)
    for band, (table, haze) in enumerate(zip(bands().T, _HAZE, strict=True)):
        seen = rng.standard_normal((n, n), dtype=np.float32) * np.float32(7)
        seen += np.float32(haze * _SUN_DN)
        for part, sun in zip(material, light, strict=True):
            seen += table[part] * sun
        out[band] = seen.clip(1, DN_MAX)
    return out


def _utm(city: City, raster: CityRaster, values: NDArray[np.uint16], column: int) -> gdal.Dataset:
    """Return the values as a raster in the city's UTM zone, in memory."""
    count, rows, columns = values.shape
    dataset = gdal.GetDriverByName("MEM").Create("", columns, rows, count, gdal.GDT_UInt16)
    left = city.centre[0] + raster.left + column * GSD_M
    dataset.SetGeoTransform((left, GSD_M, 0, city.centre[1] + raster.top, 0, -GSD_M))
    dataset.SetProjection(_wkt(city.epsg))
    dataset.WriteArray(np.ascontiguousarray(values))
    return dataset


def _to_degrees(city: City, dataset: gdal.Dataset) -> gdal.Dataset:
    """Return the same imagery on a grid of square degrees, covering every chip."""
    west, south, east, north = city.box_deg
    dx, dy = MARGIN_M / city.metres_per_degree
    step = GSD_M / city.metres_per_degree[1]
    return gdal.Warp(
        "",
        dataset,
        format="MEM",
        dstSRS="EPSG:4326",
        outputBounds=(west - dx, south - dy, east + dx, north + dy),
        xRes=step,
        yRes=step,
        resampleAlg="bilinear",
    )


def _save(path: Path, dataset: gdal.Dataset, nodata: float | None) -> None:
    for band in range(1, dataset.RasterCount + 1):
        if nodata is not None:
            dataset.GetRasterBand(band).SetNoDataValue(nodata)
    with atomic(path) as part:
        gdal.GetDriverByName("GTiff").CreateCopy(str(part), dataset, options=list(_OPTIONS))


def _wkt(epsg: int) -> str:
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    return str(reference.ExportToWkt())
