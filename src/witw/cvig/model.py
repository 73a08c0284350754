"""The twin network: shapes, towers, codes; and its file."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from witw import stage
from witw.cvig.augment import Jitter, erase, mirror, recolour
from witw.cvig.backbones import Tower, view_columns
from witw.cvig.views import column_mask, photo_columns, photo_view, polar_view
from witw.errors import UserError
from witw.settings import Train


@dataclass(frozen=True)
class Shape:
    """What fixes the network's tensors and how pictures are prepared for it."""

    chip_m: float  # side of a chip on the ground [m]
    chip_px: int
    photo_px: int
    photo_fov_deg: float
    headings: int
    polar_rows: int
    width: int
    blocks: int
    embed_dim: int
    dropout: float

    @classmethod
    def of(cls, settings: Train, chip_m: float, chip_px: int, photo_px: int) -> Self:
        """Shape for packed pictures of these sizes."""
        names = ("photo_fov_deg", "headings", "polar_rows", "width", "blocks")
        chosen = {name: getattr(settings, name) for name in (*names, "embed_dim", "dropout")}
        return cls(chip_m=chip_m, chip_px=chip_px, photo_px=photo_px, **chosen)

    @property
    def columns(self) -> int:
        """Heading columns of a photo's code."""
        return photo_columns(self.photo_fov_deg, self.headings)

    @property
    def span_deg(self) -> float:
        """Angle the photo's columns span [degrees]."""
        return self.columns * 360 / self.headings

    @property
    def photo_view(self) -> tuple[int, int]:
        """Rows and columns of the photo's view [px]."""
        side = view_columns(self.columns, self.photo_px)
        return -(-side // 4) * 4, side

    @property
    def polar_view(self) -> tuple[int, int]:
        """Rows and columns of the overhead view [px]; four times as wide as high, or nearly."""
        return self.polar_rows, view_columns(self.headings, 4 * self.polar_rows)


class Network(nn.Module):
    """Two towers of separate weights and a learned logit scale."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        common = (shape.width, shape.blocks, shape.embed_dim)
        self.photo = Tower(*shape.photo_view, shape.columns, *common, False, shape.dropout)
        self.overhead = Tower(*shape.polar_view, shape.headings, *common, True, shape.dropout)
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    @property
    def scale(self) -> Tensor:
        """Factor from score to logit, at most 100 as in CLIP."""
        return self.log_scale.exp().clamp(max=100)

    def encode_photos(
        self, photos: Tensor, sizes: Tensor, jitter: Jitter | None = None
    ) -> tuple[Tensor, Tensor]:
        """Codes of photos.

        Args:
            photos: ``(B, photo_px, photo_px, 3)`` uint8, each centred in its square.
            sizes: ``(B, 2)`` width and height inside the square [px].
            jitter: augmentation.

        Returns:
            ``(B, D, w)``, and which columns the photo sees, ``(B, w)``.
        """
        fov = torch.full((len(photos),), self.shape.photo_fov_deg, device=photos.device)
        fov = fov if jitter is None else fov * jitter.fov
        shape, span = self.shape.photo_view, self.shape.span_deg
        view, inside, seen = photo_view(as_float(photos), sizes, fov, shape, span)
        view = normalise(view)
        if jitter is not None:
            view = recolour(view, jitter.photo_colour)
            inside = erase(inside, jitter.erase)
        view = view * inside
        if jitter is not None:
            view = mirror(view, jitter.mirror)
        return cast(Tensor, self.photo(view)), column_mask(seen, self.shape.columns)

    def encode_chips(self, chips: Tensor, jitter: Jitter | None = None) -> Tensor:
        """Codes of chips: ``(B, chip_px, chip_px, 3)`` uint8, north up -> ``(B, D, headings)``."""
        where = () if jitter is None else (jitter.shift, jitter.zoom, jitter.turn_deg)
        view = normalise(polar_view(as_float(chips), *self.shape.polar_view, *where))
        if jitter is not None:
            view = mirror(recolour(view, jitter.chip_colour), jitter.mirror)
        return cast(Tensor, self.overhead(view))


def as_float(pictures: Tensor) -> Tensor:
    """``(B, h, w, 3)`` uint8 to ``(B, 3, h, w)`` float, 0 to 255."""
    return pictures.permute(0, 3, 1, 2).float()


def normalise(views: Tensor) -> Tensor:
    """0 to 255, to about unit spread around zero."""
    return (views - 0.45 * 255) * (4 / 255)


def device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Model:
    """A trained network and what is known of it."""

    network: Network
    temperature: float  # of the softmax over cells, fitted on the validation areas
    epoch: int
    val: dict[str, float]

    def save(self, path: Path) -> None:
        """Write ``model.pt``: plain values and tensors; equal models give equal bytes."""
        state = {k: v.cpu() for k, v in self.network.state_dict().items()}
        about = {"epoch": self.epoch, "val": self.val, "temperature": self.temperature}
        content = {"shape": asdict(self.network.shape), "weights": state, **about}
        with stage.atomic(path) as part:
            # Through a buffer: torch writes a file's own name into the file.
            buffer = io.BytesIO()
            torch.save(content, buffer)
            part.write_bytes(buffer.getvalue())

    @classmethod
    def load(cls, path: Path, where: torch.device) -> Self:
        """Read ``model.pt`` for inference on a device.

        Raises:
            UserError: it is not such a file.
        """
        content = load(path, where)
        try:
            network = Network(Shape(**content["shape"]))
            network.load_state_dict(content["weights"])
            rest = (content["temperature"], content["epoch"], content["val"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise UserError(
                f"{path} was not written by this version's `train`; delete it and run again."
            ) from error
        return cls(network.to(where).eval(), *rest)


def load(path: Path, where: torch.device) -> dict[str, Any]:
    """Read a file of plain values and tensors; nothing in it is executed.

    Raises:
        UserError: it is not whole.
    """
    try:
        content = torch.load(path, map_location=where, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise UserError(f"{path} is not a readable model; delete it and run again.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a readable model; delete it and run again.")
    return content
