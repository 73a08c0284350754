"""Open a strip of the config as a raster: local files, tile sets, `s3://`, `https://`."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from osgeo import gdal, osr

from witw.errors import UserError
from witw.files import read_json
from witw.imagery.strip import declared, formats, masks, remote
from witw.imagery.strip.eight_bit import EightBit
from witw.imagery.strip.footprint import grid
from witw.imagery.strip.vrt import Part, Raster, Triple
from witw.paths import file_state, is_remote, vrt_sources

CACHE_BYTES = 512 << 20
# Older versions ignore the sub-pixel offset in Lanczos if a strip is finer than the grid
# (OSGeo/gdal #11042), which shifts imagery by half a pixel.
MIN_GDAL = 3_10_00_00
# Opening a remote tile waits for its server: a set of 500 would take minutes in sequence.
OPENED_AT_ONCE = 16
Nodata = float | str


class MissingError(UserError):
    """A strip does not exist at its path; ``why`` is the bare reason."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


def configure() -> None:
    """Configure GDAL: exceptions, a fixed cache size, the network.

    Raises:
        UserError: GDAL is too old to warp correctly.
    """
    if int(gdal.VersionInfo()) < MIN_GDAL:
        raise UserError(
            f"GDAL {gdal.__version__} shifts imagery when it reprojects; install 3.10 or newer."
        )
    gdal.UseExceptions()
    gdal.SetCacheMax(CACHE_BYTES)
    remote.configure()


def files(aoi: str, path: str) -> list[str]:
    """Return GDAL's names of a strip's files, sorted.

    Raises:
        UserError: A tile set has no tiles (MissingError) or cannot be listed; the message names
            area and path.
    """
    name = remote.gdal_name(path)
    if "*" not in path:
        return [name]
    where = remote.shown(path)
    try:
        found = remote.matching(name) if is_remote(path) else sorted(glob.glob(path))  # noqa: PTH207
    except RuntimeError as error:
        text, why = f"Area {aoi!r}: the tiles {where} cannot be listed: {error}.", str(error)
        raise (MissingError(text, why) if remote.is_absent(why) else UserError(text)) from None
    if not found:
        text = f"Area {aoi!r}: no file matches {where}; correct `aois.{aoi}.strips`."
        raise MissingError(text, "no file matches")
    return found


def load(aoi: str, strip: Mapping[str, Any]) -> Raster:
    """Describe a strip of the config.

    Args:
        aoi: Its area, for error messages.
        strip: `name`, `path`, `bands` and `nodata` as in the spec.

    Raises:
        UserError: The strip cannot be opened, lacks a band, is not georeferenced or does not hold
            real numbers; the message names area and path.
    """
    where = f"Area {aoi!r}: strip file {remote.shown(strip['path'])}"
    names = files(aoi, strip["path"])
    usable = masks.of_files(aoi, strip, len(names), files)
    with ThreadPoolExecutor(OPENED_AT_ONCE) as pool:
        try:
            tiles = pool.map(
                lambda n, u: _tile(n, tuple(strip["bands"]), strip["nodata"], where, u),
                names,
                usable,
            )
            return _assemble(list(tiles))
        except RuntimeError as error:
            text, why = f"{where} cannot be read: {error}.", str(error)
            is_gone = remote.is_absent(why) or not (is_remote(names[0]) or Path(names[0]).exists())
            raise (MissingError(text, why) if is_gone else UserError(text)) from None
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Tile:
    """An opened file of a strip: its position, and its other properties."""

    transform: tuple[float, ...]
    srs: osr.SpatialReference
    part: Part
    bands: tuple[int, ...]
    scale: Triple
    offset: Triple
    white: int | None


def _tile(
    name: str,
    bands: tuple[int, ...],
    nodata: Nodata,
    where: str,
    usable: masks.Usable | None = None,
) -> _Tile:
    try:
        found = formats.opened(name, bands[0])
        ds = found.ds
        declared.check(ds, bands, where)
    except RuntimeError as error:
        raise RuntimeError(remote.reason(name, str(error))) from None
    place, srs = tuple(ds.GetGeoTransform()), ds.GetSpatialRef()
    if usable:
        masks.check(usable, ds, where)
    part = replace(_part(ds, name, bands, nodata), block=found.block, usable=usable)
    return _Tile(place, srs, part, bands, *declared.physical(ds, bands, where))


def _assemble(tiles: list[_Tile]) -> Raster:
    """Place files on one grid of their mean pixel size; later files lie on top.

    Raises:
        RuntimeError: They do not form one raster.
    """
    first = tiles[0]
    transform, size = first.transform, first.part.size
    if len(tiles) > 1:
        if not all(t.srs.IsSame(first.srs) for t in tiles):
            raise RuntimeError("its tiles have different CRSs")
        if any(t.part.dtype != first.part.dtype for t in tiles):
            raise RuntimeError("its tiles have different data types")
        if any((t.scale, t.offset) != (first.scale, first.offset) for t in tiles):
            raise RuntimeError(
                "its tiles declare different scales or offsets; list them as separate strips"
            )
        transform, size, rects = grid([(t.transform, t.part.size) for t in tiles])
        tiles = [replace(t, part=replace(t.part, dst=r)) for t, r in zip(tiles, rects, strict=True)]
    return Raster(
        parts=tuple(t.part for t in tiles),
        size=size,
        transform=transform,
        wkt=first.srs.ExportToWkt(),
        axes=",".join(map(str, first.srs.GetDataAxisToSRSAxisMapping())),
        dtype=first.part.dtype,
        bands=(first.bands[0], first.bands[1], first.bands[2]),
        scale=first.scale,
        offset=first.offset,
        white=first.white,
    )


def _part(ds: gdal.Dataset, name: str, bands: tuple[int, ...], nodata: Nodata) -> Part:
    band = ds.GetRasterBand(bands[0])
    whole = (0.0, 0.0, float(ds.RasterXSize), float(ds.RasterYSize))
    mask = None if nodata == "none" else _mask(ds, bands, nodata)
    # As in GDAL, a mask in the file overrides the file's other declarations.
    is_told = nodata == "auto" and mask is not None and mask.startswith("mask")
    return Part(
        file=name,
        size=(ds.RasterXSize, ds.RasterYSize),
        block=(1, 1),  # for formats that GDAL's wheel does not read, rasterio knows the block size
        dtype=gdal.GetDataTypeName(band.DataType),
        src=whole,
        dst=whole,
        blank=None if is_told else _blank(ds, bands, nodata),
        mask=mask,
    )


def _mask(ds: gdal.Dataset, bands: tuple[int, ...], nodata: Nodata) -> str | None:
    """Return the band that is 0 where a pixel is blank: a mask or an alpha band.

    With `auto`, a nodata value in the file disables its alpha band, as in GDAL: writers of red,
    green, blue and infrared tag the fourth band as alpha by default. A number in the config
    disables nothing.
    """
    if ds.GetRasterBand(bands[0]).GetMaskFlags() & gdal.GMF_PER_DATASET:
        return f"mask,{bands[0]}"
    for number in range(1, ds.RasterCount + 1):
        is_alpha = ds.GetRasterBand(number).GetColorInterpretation() == gdal.GCI_AlphaBand
        if is_alpha and number not in bands and nodata != "auto":
            return str(number)
    return None


def _blank(ds: gdal.Dataset, bands: tuple[int, ...], nodata: Nodata) -> Triple | None:
    """Return the numbers that red, green and blue all hold where a pixel is blank."""
    if nodata == "none":
        return None
    if nodata != "auto":
        return (float(nodata),) * 3
    found = [ds.GetRasterBand(number).GetNoDataValue() for number in bands]
    # A band without such a number has data everywhere; NaN is blank without a declaration.
    if any(value is None or value != value for value in found):
        return None
    return float(found[0]), float(found[1]), float(found[2])


@contextmanager
def unchanged(aoi: str, names: Sequence[str]) -> Iterator[None]:
    """Check that local files do not change during the enclosed reads.

    Raises:
        UserError: A file has changed; the message names area and file.
    """
    before = {name: file_state(name) for name in names}
    yield
    for name, state in before.items():
        if file_state(name) != state:
            raise UserError(
                f"Area {aoi!r}: strip file {name} changed while it was read; run again when the "
                "file is complete."
            )


def local_files(raster: Raster) -> list[str]:
    """Return the local files of a strip, including those named in a VRT."""
    names = [part.file for part in raster.parts]
    names += [part.usable[0] for part in raster.parts if part.usable]
    return [*names, *(found for name in names for found in vrt_sources(name))]


def eight_bit(raster: Raster, stretch: Path) -> EightBit:
    """Return the conversion of a strip to 8 bit.

    Args:
        raster: The strip.
        stretch: ``stretch.json`` of its area.

    Raises:
        UserError: The file does not contain a stretch.
    """
    try:
        return EightBit.of(raster, read_json(stretch))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{stretch} contains no stretch; delete it and run again.") from None


def rgb_raster(names: Sequence[str]) -> Raster:
    """Describe 8-bit files with red, green and blue first; one grid, the first file on top.

    Raises:
        RuntimeError: A file cannot be opened, or the files share no grid; the message names one.
    """
    tiles = [_tile(name, (1, 2, 3), "auto", name) for name in names]
    return _assemble(tiles[::-1])
