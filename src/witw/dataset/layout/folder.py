"""The data set's own files, read as a packed split is: photos and chips at the network's size."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from witw import tables
from witw.errors import UserError
from witw.images.photo import open_photo, whole
from witw.images.resize import letterbox, shrink
from witw.status import Status


@dataclass(frozen=True)
class Folder:
    """One split of ``results/dataset``, or of any folder with its ``pairs.parquet``.

    Attributes:
        folder: paths of the table are relative to it.
        table: rows of table ``pairs`` that are paired.
        photo_px: side of the square around a photo [px].
        chip_px: side of a chip [px].
    """

    folder: Path
    table: pd.DataFrame
    photo_px: int
    chip_px: int

    @classmethod
    def open(cls, folder: Path, split: str, photo_px: int, chip_px: int) -> Folder:
        """Read the table; pictures are read when they are asked for.

        Raises:
            UserError: the table is not readable.
        """
        rows = tables.read(folder / "pairs.parquet", "pairs")
        own = rows[(rows["status"] == Status.PAIRED) & (rows["split"] == split)]
        return cls(folder, own.reset_index(drop=True), photo_px, chip_px)

    def __len__(self) -> int:
        return len(self.table)

    def path(self, row: int, kind: str) -> Path:
        """File of a row's ``photo`` or ``chip``."""
        return self.folder / str(self.table[f"{kind}_path"].iloc[row])

    @property
    def sizes(self) -> NDArray[np.int32]:
        """``(N, 2)`` width and height of each photo inside its square [px]."""
        size = self.table[["photo_width", "photo_height"]].to_numpy(dtype=np.float64)
        scaled = size * (self.photo_px / size.max(axis=1, keepdims=True))
        return np.maximum(1, np.round(scaled)).astype(np.int32)

    def pictures(
        self, rows: NDArray[np.int64], space: Callable[[tuple[int, ...]], NDArray[np.uint8]]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Photos, each centred in a black square, and chips of some rows.

        Args:
            rows: any, in any order.
            space: makes the two arrays, by their shapes; all of it is written.

        Returns:
            ``(B, photo_px, photo_px, 3)`` and ``(B, chip_px, chip_px, 3)``, uint8.

        Raises:
            UserError: a file is missing, damaged, or differs from the table.
        """
        photos = space((len(rows), self.photo_px, self.photo_px, 3))
        chips = space((len(rows), self.chip_px, self.chip_px, 3))
        for at, row in enumerate(rows):
            photos[at], chips[at] = self._pair(int(row))
        return photos, chips

    def _pair(self, row: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        path = self.path(row, "photo")
        try:
            photo, _, _ = letterbox(open_photo(path, self._sha256(row, "photo")), self.photo_px)
            path = self.path(row, "chip")
            with Image.open(io.BytesIO(whole(path, self._sha256(row, "chip")))) as chip:
                return photo, shrink(chip.convert("RGB"), self.chip_px)
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"{path} cannot be read ({error}); make the data set anew.") from error

    def _sha256(self, row: int, kind: str) -> str | None:
        value = self.table[f"{kind}_sha256"].iloc[row]
        return None if pd.isna(value) else str(value)
