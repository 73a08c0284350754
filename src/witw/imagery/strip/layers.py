"""Read a strip of any kind window by window, with the validity of every pixel.

A pixel is blank in four cases: the file's mask or alpha band is 0, a raster of usable pixels
excludes it, all three bands hold the nodata value, or a float is NaN or infinite in any of the
three bands. Where tiles overlap, all three bands come from the last tile with data.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from witw.imagery.strip.vrt import Part, Raster

# Open files of a tile set per thread: enough for a row of units in most sets.
OPEN_FILES = 48
NUMPY = {"Byte": "uint8"}


class Layers:
    """The files of a strip, opened on demand; not thread-safe.

    Attributes:
        raster: The strip.
        dtype: numpy's name of its data type.
    """

    def __init__(self, raster: Raster) -> None:
        self.raster = raster
        self.dtype = NUMPY.get(raster.dtype, raster.dtype.lower())
        self.boxes = np.array([part.dst for part in raster.parts])
        self.files: OrderedDict[str, Any] = OrderedDict()

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read a window.

        Returns:
            Stored numbers, (3, h, w), 0 where blank, and validity, (h, w).

        Raises:
            rasterio.errors.RasterioError: A file cannot be read.
        """
        x, y, width, height = window.flatten()
        data = np.zeros((3, height, width), self.dtype)
        valid = np.zeros((height, width), np.bool_)
        left, top, wide, high = self.boxes.T
        here = (left < x + width) & (x < left + wide) & (top < y + height) & (y < top + high)
        for index in np.flatnonzero(here):
            part = self.raster.parts[index]
            first_x, first_y = round(part.dst[0]), round(part.dst[1])
            begin, start = max(x, first_x), max(y, first_y)
            end = min(x + width, first_x + part.size[0])
            stop = min(y + height, first_y + part.size[1])
            if begin >= end or start >= stop:
                continue
            inner = Window(begin - first_x, start - first_y, end - begin, stop - start)
            cut = np.s_[start - y : stop - y, begin - x : end - x]
            values, shown = self._part(part, inner)
            if shown.all():
                data[:, *cut], valid[cut] = values, True
            else:
                np.copyto(data[:, *cut], values, where=shown)
                valid[cut] |= shown
        return data, valid

    def _part(self, part: Part, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return stored numbers and validity of a window of one file."""
        file = self._opened(part.file)
        values = file.read(self.raster.bands, window=window)
        valid = np.ones(values.shape[1:], np.bool_)
        if values.dtype.kind == "f":
            valid &= np.isfinite(values).all(axis=0)
        if part.blank is not None:
            valid &= ~_holds(values, part.blank)
        if part.mask and part.mask.startswith("mask,"):
            valid &= file.read_masks(int(part.mask.removeprefix("mask,")), window=window) > 0
        elif part.mask:
            valid &= file.read(int(part.mask), window=window) > 0
        if part.usable:
            name, number, value = part.usable
            valid &= self._opened(name).read(number, window=window) == value
        return values, valid

    def _opened(self, name: str) -> Any:
        if name in self.files:
            self.files.move_to_end(name)
            return self.files[name]
        while len(self.files) >= OPEN_FILES:
            self.files.popitem(last=False)[1].close()
        self.files[name] = rasterio.open(name, sharing=False)
        return self.files[name]

    def close(self) -> None:
        """Close the files."""
        for file in self.files.values():
            file.close()


def _holds(values: NDArray[Any], numbers: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Return where three bands hold three given numbers, (h, w)."""
    out = np.ones(values.shape[1:], np.bool_)
    for band, number in zip(values, numbers, strict=True):
        if values.dtype.kind == "f":
            out &= band == values.dtype.type(number)
        else:
            # Python's integer, not numpy's: a number outside the data type then equals no value.
            out &= band == int(number) if number // 1 == number else False
    return out
