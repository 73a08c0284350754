"""Open rasters of any format, with GDAL's wheel or through rasterio's description.

GDAL's wheel contains 27 drivers, rasterio's wheel 147. rasterio reads the pixels in any case
(:mod:`.blocks`), so this module only needs the description of the other formats.
"""

from __future__ import annotations

from dataclasses import dataclass

import rasterio
from osgeo import gdal
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError

# Network settings of rasterio and of GDAL's own binding.
OPTIONS = (
    "AWS_NO_SIGN_REQUEST", "AWS_REGION", "AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING",
    "GDAL_HTTP_MAX_RETRY", "GDAL_HTTP_RETRY_DELAY", "GDAL_HTTP_CONNECTTIMEOUT",
    "GDAL_HTTP_LOW_SPEED_LIMIT", "GDAL_HTTP_LOW_SPEED_TIME", "GDAL_DISABLE_READDIR_ON_OPEN",
)  # fmt: skip
UNKNOWN = "not recognized as being in a supported file format"
# Formats whose readers cannot be distributed with GDAL.
CLOSED = {"ecw": "ECW", "sid": "MrSID"}


@dataclass(frozen=True)
class Opened:
    """A raster with a description.

    Attributes:
        ds: Its description; without pixels for formats that only rasterio reads.
        block: Width and height of its blocks [px].
    """

    ds: gdal.Dataset
    block: tuple[int, int]


def options() -> dict[str, str]:
    """Return GDAL's network options, for rasterio's library."""
    return {key: value for key in OPTIONS if (value := gdal.GetConfigOption(key))}


def opened(name: str, band: int) -> Opened:
    """Open a raster.

    Args:
        name: GDAL's name.
        band: Band whose block size is returned; 1 if the raster has fewer bands.

    Raises:
        RuntimeError: The raster cannot be opened; the message gives the reason.
    """
    try:
        ds = gdal.Open(name)
    except RuntimeError as error:
        if UNKNOWN not in str(error):
            raise
        return _by_rasterio(name, band, error)
    found = ds.GetRasterBand(band if band <= ds.RasterCount else 1)
    return Opened(ds, tuple(found.GetBlockSize()) if found else (1, 1))


def _by_rasterio(name: str, band: int, error: RuntimeError) -> Opened:
    try:
        with rasterio.Env(**options()), rasterio.open(name) as file:
            high, wide = file.block_shapes[band - 1 if band <= file.count else 0]
            return Opened(_described(file), (wide, high))
    except RasterioError:
        kind = CLOSED.get(name.rpartition(".")[2].lower())
        if kind is None:
            raise error from None
        raise RuntimeError(
            f"{kind} is read by licensed software only; convert it to GeoTIFF with a program that "
            "supports it, such as QGIS for Windows"
        ) from None


def _described(file: rasterio.DatasetReader) -> gdal.Dataset:
    """Return a data set without pixels but with a file's metadata."""
    ds = gdal.GetDriverByName("VRT").Create("", file.width, file.height, 0)
    # A file without georeference has an identity transform.
    if file.transform != rasterio.Affine.identity():
        ds.SetGeoTransform(file.transform.to_gdal())
    if file.crs is not None:
        ds.SetProjection(file.crs.to_wkt())
    tags = file.tags(ns="IMAGE_STRUCTURE")
    if "MINISWHITE" in tags:
        ds.SetMetadataItem("MINISWHITE", tags["MINISWHITE"], "IMAGE_STRUCTURE")
    for number, dtype in enumerate(file.dtypes, start=1):
        ds.AddBand(gdal.GetDataTypeByName(_name(dtype)))
        band = ds.GetRasterBand(number)
        band.SetColorInterpretation(int(file.colorinterp[number - 1]))
        band.SetScale(file.scales[number - 1])
        band.SetOffset(file.offsets[number - 1])
        if file.nodatavals[number - 1] is not None:
            band.SetNoDataValue(file.nodatavals[number - 1])
    if file.count and MaskFlags.per_dataset in file.mask_flag_enums[0]:
        is_alpha = MaskFlags.alpha in file.mask_flag_enums[0]
        if not is_alpha:
            ds.CreateMaskBand(gdal.GMF_PER_DATASET)
    return ds


def _name(dtype: str) -> str:
    """Return GDAL's name of a rasterio data type."""
    other = {"uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "uint32": "UInt32"}
    return other.get(dtype, dtype.capitalize())
