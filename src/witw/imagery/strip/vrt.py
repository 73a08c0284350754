"""Describe a strip as a GDAL VRT. Text only; opens nothing.

One description serves `stats`, which reads the bands as they are, and `rgb8`, which adds the
8-bit table: what counts as a valid pixel is written down once, as the VRT's alpha band.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from witw.paths import is_remote

Rect = tuple[float, float, float, float]
COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class Part:
    """One file of a raster.

    Attributes:
        file: GDAL's name of it.
        size: width and height [px].
        block: width and height of its blocks [px].
        dtype: GDAL's name of its data type.
        src: x, y, width, height that are used of it [px].
        dst: where they lie in the whole raster [px].
        valid: bands whose pixels are valid except where they hold the given value (None: no
            such value); a pixel is valid if any of these bands says so.
        masked: whether it has a mask or alpha band.
    """

    file: str
    size: tuple[int, int]
    block: tuple[int, int]
    dtype: str
    src: Rect
    dst: Rect
    valid: tuple[tuple[str, float | None], ...]
    masked: bool = False


@dataclass(frozen=True)
class Raster:
    """Files that make one raster.

    Attributes:
        parts: its files, the lowest first.
        size: width and height [px].
        transform: GDAL's six numbers, pixel to CRS.
        wkt: its CRS.
        axes: which axis of the CRS is the pixels' x and which their y, as "1,2" or "2,1".
        dtype: GDAL's name of the data type.
        bands: bands for red, green, blue, counted from 1.
    """

    parts: tuple[Part, ...]
    size: tuple[int, int]
    transform: tuple[float, ...]
    wkt: str
    axes: str
    dtype: str
    bands: tuple[int, int, int]


def describe(
    raster: Raster, dtype: str, tables: Sequence[str] | None = None, folder: Path | None = None
) -> str:
    """Write the VRT: red, green, blue and alpha (0 or 255).

    Args:
        raster: what it shows.
        dtype: GDAL's name of the bands' data type.
        tables: for each band GDAL's ``LUT`` text ``value:value,...``; None: values as they are.
        folder: folder the VRT will lie in; relative local files are then named relative to it.
    """
    root = dataset(raster)
    for index, number in enumerate(raster.bands):
        band = add_band(root, index + 1, dtype, COLOURS[index])
        for part in raster.parts:
            table = tables[index] if tables else None
            _colour(band, part, number, table, _hidden(raster, part, number), folder)
    alpha = add_band(root, 4, "Byte", "Alpha")
    for part in raster.parts:
        for number_or_mask, blank in part.valid:
            # Painting a constant band after band leaves "valid" where any of them is.
            source = add_source(alpha, "ComplexSource", part, number_or_mask, folder)
            if blank is not None:
                SubElement(source, "NODATA").text = repr(blank)
            SubElement(source, "ScaleOffset").text = "255"
            SubElement(source, "ScaleRatio").text = "0"
    return to_text(root)


def describe_masked(
    raster: Raster,
    alpha: int | None = None,
    folder: Path | None = None,
    told: Mapping[str, str] | None = None,
) -> str:
    """Write a VRT of 8-bit red, green and blue with a mask instead of an alpha band.

    Args:
        raster: its parts have a mask; where several overlap, the last that is valid shows.
        alpha: instead of a mask, the one part has this alpha band; half covered is valid.
        folder: folder the VRT will lie in; relative local files are then named relative to it.
        told: metadata of the domain ``witw``.
    """
    root = dataset(raster)
    if told:
        domain = SubElement(root, "Metadata", domain="witw")
        for key, value in told.items():
            SubElement(domain, "MDI", key=key).text = value
    for index, number in enumerate(raster.bands):
        band = add_band(root, index + 1, "Byte", COLOURS[index])
        for level, part in enumerate(raster.parts):
            # The lowest covers nothing; without looking at its mask it reads ten times faster.
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


def _hidden(raster: Raster, part: Part, number: int) -> float | None:
    """Value of a band that lets the file below show, or that has no place in the table."""
    if len(raster.parts) > 1 and not part.masked:
        return dict(part.valid).get(str(number))
    return float("nan") if part.dtype.startswith("Float") else None


def _colour(
    band: Element,
    part: Part,
    number: int,
    table: str | None,
    hidden: float | None,
    folder: Path | None,
) -> None:
    plain = table is None and hidden is None and not part.masked
    source = add_source(band, "SimpleSource" if plain else "ComplexSource", part, number, folder)
    if part.masked:
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
    """Add one file's band to a VRT band; later ones lie on top."""
    source = SubElement(band, kind)
    name, relative = _relative(part.file, folder)
    SubElement(source, "SourceFilename", relativeToVRT=str(int(relative))).text = name
    SubElement(source, "SourceBand").text = str(number)
    # Spares GDAL opening every file when it opens the VRT.
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
    # The folder's real path: `..` out of a linked folder leads elsewhere than its name says.
    return os.path.relpath(Path(file).absolute(), folder.resolve()), True


def to_text(root: Element) -> str:
    """Return the VRT as text."""
    indent(root)
    return tostring(root, encoding="unicode") + "\n"
