"""Open a strip unconverted, to compare it with the data written."""

from osgeo import gdal

from witw.imagery.strip.vrt import describe


def plain(raster):
    """Return red, green, blue in their own data type, and alpha."""
    return gdal.Open(describe(raster, raster.dtype))
