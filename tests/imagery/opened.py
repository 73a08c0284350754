"""Open a strip as it is, to compare it with what was written."""

from osgeo import gdal

from witw.imagery.strip.vrt import describe


def plain(raster):
    """Red, green, blue in their own data type, and alpha."""
    return gdal.Open(describe(raster, raster.dtype))
