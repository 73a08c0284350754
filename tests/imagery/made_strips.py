"""Small synthetic rasters, and the chain of imagery stages run on them."""

import json
from pathlib import Path

from osgeo import gdal, gdal_array, osr

from witw import files
from witw.config import load
from witw.imagery import mosaic, rgb8, stats, stretch
from witw.spec import build

gdal.UseExceptions()


def write_tif(path, data, transform, epsg=32631, nodata=None, mask=None, **options):
    """Write (bands, height, width) as a GeoTIFF; return its path for the config."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    code = gdal_array.NumericTypeCodeToGDALTypeCode(data.dtype)
    extra = [f"{key}={value}" for key, value in options.items()]
    shape = (data.shape[2], data.shape[1], data.shape[0])
    ds = gdal.GetDriverByName("GTiff").Create(str(path), *shape, code, options=extra)
    if transform is not None:
        ds.SetGeoTransform(transform)
        srs = osr.SpatialReference()
        srs.ImportFromEPSG(epsg)
        ds.SetProjection(srs.ExportToWkt())
    for index, band in enumerate(data):
        ds.GetRasterBand(index + 1).WriteArray(band)
        if nodata is not None:
            ds.GetRasterBand(index + 1).SetNoDataValue(nodata)
    if mask is not None:
        with gdal.config_option("GDAL_TIFF_INTERNAL_MASK", "YES"):
            ds.CreateMaskBand(gdal.GMF_PER_DATASET)
        ds.GetRasterBand(1).GetMaskBand().WriteArray(mask)
    return str(path)


class Area:
    """An area's imagery stages, run as the rules run them but in this process."""

    def __init__(self, strips, box, **keys):
        self.config = load({"aois": {"town": {"bbox_deg": box, "strips": strips, **keys}}})
        self.names = [s.name for s in self.config.aois["town"].strips]
        self.root = Path("results/town")

    def spec(self, stage, strip=None):
        return json.loads(build(self.config, stage, "town", strip))

    def strip(self, name, suffix):
        path = self.root / "strips" / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def stretch(self):
        """Run `stats` and `stretch`; return the content of stretch.json."""
        paths = [self.strip(name, "stats.json") for name in self.names]
        for name, path in zip(self.names, paths, strict=True):
            stats.run(self.spec("stats", name), path)
        stretch.run(self.spec("stretch"), paths, self.root / "stretch.json")
        return files.read_json(self.root / "stretch.json")

    def rgb8(self, name=None):
        """Return the path of a strip's VRT; `stretch` must have run."""
        name = name or self.names[0]
        path = self.strip(name, "rgb8.vrt")
        rgb8.run(self.spec("rgb8", name), self.root / "stretch.json", path)
        return path

    def utm(self, name=None, threads=1):
        """Return the path of a strip's UTM raster, built from its source."""
        from witw.imagery import utm  # pandas is half a second, and many tests end before it

        name = name or self.names[0]
        path = self.strip(name, "utm.tif")
        sparse = self.config.aois["town"].extent == "photos"
        photos = self.root / "photos.parquet" if sparse else None
        utm.run(self.spec("utm", name), self.root / "stretch.json", path, threads, photos)
        return path

    def mosaic(self):
        """Return the path of the mosaic, built from the sources."""
        self.stretch()
        tifs = [self.utm(name) for name in self.names]
        mosaic.run(self.spec("mosaic"), tifs, self.root / "mosaic.vrt")
        return self.root / "mosaic.vrt"

    def chips(self, photos):
        """Return the table of the photos' chips (`id`, `lon`, `lat`); `mosaic` must have run."""
        from witw import tables  # as in `utm`
        from witw.imagery import chips

        tifs = [self.strip(name, "utm.tif") for name in self.names]
        where = self.root / "chips/0000", self.root / "chips/0000.parquet"
        chips.run(self.spec("chips"), photos, self.root / "mosaic.vrt", tifs, *where)
        return tables.read(where[1], "chips").set_index("id")
