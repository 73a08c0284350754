"""Describe a strip as a GDAL VRT. Text only; opens no files.

These VRTs are for GIS programs; the stages read a strip's files themselves (:mod:`.layers`). A VRT
treats each band separately, so it differs from the stages in two cases: where tiles with nodata
overlap (a pixel may mix two tiles), and where a float is missing in some bands only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from witw.paths import is_remote

Rect = tuple[float, float, float, float]
Triple = tuple[float, float, float]
COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class Part:
    """One file of a raster.

    Attributes:
        file: GDAL's name of the file.
        size: Width and height [px].
        block: Width and height of its blocks [px].
        dtype: GDAL's name of its data type.
        src: x, y, width and height of the part that is used [px].
        dst: x, y, width and height of this part in the whole raster [px].
        blank: A pixel is blank if red, green and blue all hold these numbers; None: never.
        mask: GDAL's name of the band that is 0 where a pixel is blank: "mask,1" for the mask of
            band 1 or "4" for an alpha band; None: no such band.
        usable: GDAL's name of a raster of usable pixels, its band, and the value of usable pixels;
            None: no such raster.
    """

    file: str
    size: tuple[int, int]
    block: tuple[int, int]
    dtype: str
    src: Rect
    dst: Rect
    blank: Triple | None = None
    mask: str | None = None
    usable: tuple[str, int, int] | None = None


@dataclass(frozen=True)
class Raster:
    """Files that form one raster.

    Attributes:
        parts: The files, lowest first.
        size: Width and height [px].
        transform: GDAL's geotransform, pixel to CRS.
        wkt: WKT of its CRS.
        axes: Which axes of the CRS are the pixels' x and y, as "1,2" or "2,1".
        dtype: GDAL's name of the data type.
        bands: Bands for red, green and blue, counted from 1.
        scale: Declared scale of each band: physical value = stored number * scale + offset.
        offset: Declared offset of each band.
        white: Largest number of a negative, where 0 is white (MINISWHITE); None: 0 is black.
    """

    parts: tuple[Part, ...]
    size: tuple[int, int]
    transform: tuple[float, ...]
    wkt: str
    axes: str
    dtype: str
    bands: tuple[int, int, int]
    scale: Triple = (1.0, 1.0, 1.0)
    offset: Triple = (0.0, 0.0, 0.0)
    white: int | None = None


def describe(
    raster: Raster,
    dtype: str,
    tables: Sequence[str | None] | None = None,
    folder: Path | None = None,
) -> str:
    """Return the VRT's text: red, green, blue and alpha (0 or 255).

    Args:
        raster: The raster to show.
        dtype: GDAL's name of the bands' data type.
        tables: GDAL's ``LUT`` text ``value:value,...`` for each band; None: values are unchanged.
        folder: Folder of the VRT; local files are then given by relative paths.
    """
    root = dataset(raster)
    overlapping = _overlapping(raster)
    for index, number in enumerate(raster.bands):
        band = add_band(root, index + 1, dtype, COLOURS[index])
        for part, overlaps in zip(raster.parts, overlapping, strict=True):
            table = tables[index] if tables else None
            _colour(band, part, number, table, _hidden(part, index, overlaps), folder)
    alpha = add_band(root, 4, "Byte", "Alpha")
    for part, overlaps in zip(raster.parts, overlapping, strict=True):
        _alpha(alpha, raster, part, overlaps, folder)
        _unusable(alpha, part, folder)
    return to_text(root)


def describe_masked(
    raster: Raster,
    alpha: int | None = None,
    folder: Path | None = None,
    told: Mapping[str, str] | None = None,
) -> str:
    """Return a VRT of 8-bit red, green and blue with a mask instead of an alpha band.

    Args:
        raster: Its parts have a mask; where several overlap, the last valid one is shown.
        alpha: Alpha band of the only part, used instead of a mask; half covered is valid.
        folder: Folder of the VRT; local files are then given by relative paths.
        told: Metadata of the domain ``witw``.
    """
    root = dataset(raster)
    if told:
        domain = SubElement(root, "Metadata", domain="witw")
        for key, value in told.items():
            SubElement(domain, "MDI", key=key).text = value
    for index, number in enumerate(raster.bands):
        band = add_band(root, index + 1, "Byte", COLOURS[index])
        for level, part in enumerate(raster.parts):
            # The lowest part covers nothing, and skipping its mask makes reading ten times faster.
            stacked = level > 0
            kind = "ComplexSource" if stacked else "SimpleSource"
            source = add_source(band, kind, part, number, folder)
            if stacked:
                SubElement(source, "UseMaskBand").text = "true"
    mask = SubElement(SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
    for part in raster.parts:
        source = add_source(mask, "ComplexSource", part, alpha or "mask,1", folder)
        if alpha:
            SubElement(source, "LUT").text = "127:0,128:255"
        else:
            SubElement(source, "NODATA").text = "0"
    return to_text(root)


def _alpha(band: Element, raster: Raster, part: Part, overlaps: bool, folder: Path | None) -> None:
    """Add a file's validity: 255 is painted wherever one of its bands has data."""
    blanks: list[float | None] = list(part.blank or ())
    if not blanks:
        # If no number is blank, a single band suffices.
        blanks = [float("nan")] * 3 if part.dtype.startswith("Float") else [None]
    by_value = part.blank is not None and not overlaps
    named = dict(zip(map(str, raster.bands), blanks, strict=False))
    for name, blank in (named if by_value or not part.mask else {part.mask: 0.0}).items():
        source = add_source(band, "ComplexSource", part, name, folder)
        if blank is not None:
            SubElement(source, "NODATA").text = repr(blank)
        SubElement(source, "ScaleOffset").text = "255"
        SubElement(source, "ScaleRatio").text = "0"
    if part.mask and by_value:
        # Both masks apply: pixels hidden by this one are painted 0 again.
        source = add_source(band, "ComplexSource", part, part.mask, folder)
        SubElement(source, "NODATA").text = "255"
        SubElement(source, "LUT").text = "0:0,1:255"


def _unusable(band: Element, part: Part, folder: Path | None) -> None:
    """Paint 0 where another raster marks a file's pixels as unusable."""
    if part.usable is None:
        return
    file, number, value = part.usable
    other = replace(part, file=file, dtype="Byte")
    source = add_source(band, "ComplexSource", other, number, folder)
    SubElement(source, "NODATA").text = str(value)
    SubElement(source, "LUT").text = "0:0,255:0"


def _hidden(part: Part, index: int, overlaps: bool) -> float | None:
    """Return a band's value that reveals the file below, or that has no entry in the table."""
    if part.blank and not part.mask and overlaps:
        return part.blank[index]
    return float("nan") if part.dtype.startswith("Float") else None


def _overlapping(raster: Raster) -> list[bool]:
    """Return which files overlap another one."""
    x, y, width, height = np.array([part.dst for part in raster.parts]).reshape(-1, 4).T
    across = (x[:, None] < (x + width)) & (x < (x + width)[:, None])
    along = (y[:, None] < (y + height)) & (y < (y + height)[:, None])
    return [bool(count > 1) for count in (across & along).sum(axis=1)]


def _colour(
    band: Element,
    part: Part,
    number: int,
    table: str | None,
    hidden: float | None,
    folder: Path | None,
) -> None:
    plain = table is None and hidden is None and not part.mask
    source = add_source(band, "SimpleSource" if plain else "ComplexSource", part, number, folder)
    if part.mask and part.mask.startswith("mask"):
        SubElement(source, "UseMaskBand").text = "true"
    if hidden is not None:
        SubElement(source, "NODATA").text = repr(hidden)
    if table is not None:
        SubElement(source, "LUT").text = table


def dataset(raster: Raster) -> Element:
    """Return a ``VRTDataset`` without bands."""
    root = Element("VRTDataset", rasterXSize=str(raster.size[0]), rasterYSize=str(raster.size[1]))
    SubElement(root, "SRS", dataAxisToSRSAxisMapping=raster.axes).text = raster.wkt
    SubElement(root, "GeoTransform").text = ", ".join(repr(float(v)) for v in raster.transform)
    return root


def add_band(parent: Element, number: int, dtype: str, colour: str) -> Element:
    """Add a ``VRTRasterBand``."""
    band = SubElement(
        parent,
        "VRTRasterBand",
        dataType=dtype,
        band=str(number),
        blockXSize="512",
        blockYSize="512",
    )
    SubElement(band, "ColorInterp").text = colour
    return band


def add_source(
    band: Element, kind: str, part: Part, number: int | str, folder: Path | None
) -> Element:
    """Add one file's band to a VRT band; later files lie on top."""
    source = SubElement(band, kind)
    name, relative = _relative(part.file, folder)
    SubElement(source, "SourceFilename", relativeToVRT=str(int(relative))).text = name
    SubElement(source, "SourceBand").text = str(number)
    # Spares GDAL from opening every file together with the VRT.
    SubElement(
        source,
        "SourceProperties",
        RasterXSize=str(part.size[0]),
        RasterYSize=str(part.size[1]),
        DataType="Byte" if str(number).startswith("mask") else part.dtype,
        BlockXSize=str(part.block[0]),
        BlockYSize=str(part.block[1]),
    )
    for tag, rect in (("SrcRect", part.src), ("DstRect", part.dst)):
        SubElement(
            source, tag, dict(zip(("xOff", "yOff", "xSize", "ySize"), map(repr, rect), strict=True))
        )
    return source


def _relative(file: str, folder: Path | None) -> tuple[str, bool]:
    if folder is None or is_remote(file) or os.path.isabs(file):  # noqa: PTH117
        return file, False
    # The folder's real path: `..` of a linked folder leads elsewhere than its name suggests.
    return os.path.relpath(Path(file).absolute(), folder.resolve()), True


def to_text(root: Element) -> str:
    """Return the VRT as text."""
    indent(root)
    return tostring(root, encoding="unicode") + "\n"
