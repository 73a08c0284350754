"""Find datum grids that PROJ lacks to place a strip exactly."""

from __future__ import annotations

import warnings

from osgeo import osr

from witw.imagery.strip.vrt import Raster


def missing(raster: Raster, epsg: int) -> tuple[list[str], float] | None:
    """Return the missing grids and the possible error without them.

    Args:
        raster: The strip.
        epsg: EPSG code of the target CRS.

    Returns:
        File names, and the accuracy of the best available conversion [m], NaN if unknown; None if
        no grid is missing.
    """
    srs = osr.SpatialReference()
    srs.ImportFromWkt(raster.wkt)
    if srs.GetAuthorityCode("GEOGCS") == "4326":
        return None
    # The import takes half a second, and most strips are in WGS 84.
    from pyproj import CRS
    from pyproj.transformer import TransformerGroup

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns about the very condition tested here
        group = TransformerGroup(CRS.from_wkt(raster.wkt), CRS.from_epsg(epsg), always_xy=True)
    if group.best_available or not group.unavailable_operations:
        return None
    grids = [
        grid.short_name for grid in group.unavailable_operations[0].grids if not grid.available
    ]
    best = group.transformers[0].accuracy if group.transformers else -1
    return grids, best if best >= 0 else float("nan")
