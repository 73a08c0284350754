"""The pairs as a PyTorch data set, with the reader of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import collate, default_collate_fn_map

from witw.cvig.scoring.heading import grid_headings
from witw.cvig.training import lent_memory
from witw.dataset.layout.folder import Folder
from witw.dataset.packed import PICTURES, Packed
from witw.errors import UserError

SIZE_PX = 384


class Pairs(Dataset[dict[str, Any]]):
    """Photos and chips of one split.

    An item is a dict: ``photo`` and ``chip``, uint8 tensors ``(3, size, size)``, the photo centred
    in a black square and the chip north up; ``photo_size``, width and height of the photo in its
    square [px]; ``geotag``, latitude and longitude (EPSG:4326) [degrees]; ``heading`` of the photo,
    clockwise from the chip's upper edge, NaN if unknown [degrees]; ``id`` and ``aoi``.

    Args:
        folder: ``results/pack`` or ``results/dataset``. The pack is faster but has no headings.
        split: ``train``, ``val`` or ``test``.
        size: side of both pictures [px]; default: as packed, or 384.
        transforms: called with each item; its result is the item.
        threads: pictures decoded in parallel. ``num_workers=0`` with threads is the fastest way,
            because batches of worker processes must be copied to the training process.

    Raises:
        UserError: the folder lacks the split, or is damaged.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str = "train",
        size: int | None = None,
        transforms: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        threads: int = 1,
    ) -> None:
        self.size, self.transforms = size, transforms
        self.data = _open(Path(folder), split, size, threads)
        self._geotag = torch.from_numpy(self.data.table[["lat", "lon"]].to_numpy(np.float64))
        self._sizes = torch.from_numpy(self.data.sizes)
        self._ids = self.data.table["id"].astype(str).tolist()
        self._aois = self.data.table["aoi"].astype(str).tolist()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        return self.__getitems__([index % len(self)])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return the items of a batch, decoded together; ``DataLoader`` calls this method."""
        rows = np.asarray(indices, np.int64)
        made: list[Tensor] = []

        def space(shape: tuple[int, ...]) -> NDArray[np.uint8]:
            made.append(lent_memory.space(shape))
            return np.asarray(made[-1].numpy())

        self.data.pictures(rows, space)
        photos, chips = map(self._fitted, made)
        whole = lent_memory.Batch(
            {
                "photo": photos,
                "chip": chips,
                "photo_size": self._scaled(rows),
                "geotag": self._geotag[rows],
                "heading": self._headings(rows),
                "id": [self._ids[row] for row in rows],
                "aoi": [self._aois[row] for row in rows],
            }
        )
        items: list[dict[str, Any]] = [_Item(whole, at) for at in range(len(rows))]
        return items if self.transforms is None else [self.transforms(dict(i)) for i in items]

    def _fitted(self, pictures: Tensor) -> Tensor:
        """Resize ``(B, side, side, 3)`` to ``(B, 3, size, size)``."""
        planes = pictures.permute(0, 3, 1, 2)
        if self.size is None or planes.shape[-1] == self.size:
            return planes
        size = (self.size, self.size)
        scaled = F.interpolate(planes, size, mode="bilinear", antialias=True)
        return lent_memory.space(tuple(scaled.shape)).copy_(scaled)

    def _scaled(self, rows: NDArray[np.int64]) -> Tensor:
        scale = (self.size or self.data.photo_px) / self.data.photo_px
        return (self._sizes[rows] * scale).round().to(torch.int32)

    def _headings(self, rows: NDArray[np.int64]) -> Tensor:
        if isinstance(self.data, Packed):
            return torch.full((len(rows),), torch.nan, dtype=torch.float64)
        table = self.data.table.iloc[rows]
        lon, lat = (table[name].to_numpy(np.float64) for name in ("lon", "lat"))
        paths = [str(self.data.path(int(row), "photo")) for row in rows]
        return torch.from_numpy(grid_headings(paths, lon, lat, table["epsg"].to_numpy(int)))


class _Item(dict[str, Any]):
    """One pair of a batch that was decoded together, with a reference to the batch."""

    def __init__(self, whole: dict[str, Any], at: int) -> None:
        super().__init__({name: values[at] for name, values in whole.items()})
        self.whole, self.at, self.given = whole, at, list(self.values())

    def is_whole(self, whole: dict[str, Any], at: int) -> bool:
        """Return whether this is the unchanged item at a position of a batch."""
        same = self.whole is whole and self.at == at and len(self) == len(self.given)
        return same and all(a is b for a, b in zip(self.values(), self.given, strict=True))


def _collated(
    items: Sequence[_Item], *, collate_fn_map: dict[Any, Callable[..., Any]] | None = None
) -> Any:
    """Return the batch of the items without a copy, if they are all of its items."""
    whole = items[0].whole
    is_all = len(items) == len(whole["id"])
    if is_all and all(item.is_whole(whole, at) for at, item in enumerate(items)):
        return whole
    return collate([dict(item) for item in items], collate_fn_map=collate_fn_map)


default_collate_fn_map[_Item] = _collated


def _open(folder: Path, split: str, size: int | None, threads: int) -> Packed | Folder:
    if (folder / split / PICTURES).is_file():
        return Packed.open(folder / split, threads)
    if not (folder / "pairs.parquet").is_file():
        raise UserError(
            f"{folder} holds neither {split}/{PICTURES} nor pairs.parquet; name results/pack or "
            "results/dataset of a run folder."
        )
    side = size or SIZE_PX
    data = Folder.open(folder, split, side, side)
    if not len(data):
        raise UserError(f"{folder}/pairs.parquet has no pair of the split {split!r}.")
    return data
