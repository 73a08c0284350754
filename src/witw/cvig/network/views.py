"""Resample photo and chip to headings by distance: one ``grid_sample`` each, on any device.

Conventions: a column is a heading, counted clockwise from grid north (chips are north up); column
``j`` of ``C`` is centred on ``(j + 0.5) / C * 360`` degrees. Far is up, as in a photo.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows of the polar view are r = R * t ** 1.5: finer near the camera, which fills most of a photo.
RADIUS_EXPONENT = 1.5


def polar_view(
    chips: Tensor,
    rows: int,
    columns: int,
    shift: Tensor | None = None,
    zoom: Tensor | None = None,
    turn_deg: Tensor | None = None,
    exponent: float = RADIUS_EXPONENT,
) -> Tensor:
    """Unroll chips around their centres.

    Args:
        chips: ``(B, 3, S, S)`` float, north up.
        rows: distances, the last row nearest.
        columns: headings, from north clockwise.
        shift: ``(B, 2)`` east and north displacement of the centre, in half sides of the chip.
        zoom: ``(B,)`` factor on all distances.
        turn_deg: ``(B,)`` heading the first column begins at instead of north [degrees].
        exponent: power of the rows' share at which their distance lies.

    Returns:
        ``(B, 3, rows, columns)``; beyond the chip its edge goes on.
    """
    device = chips.device
    t = (torch.arange(rows, device=device) + 0.5) / rows
    radius = t.flip(0) ** exponent  # (rows,) in half sides
    angle = (torch.arange(columns, device=device) + 0.5)[None] * (2 * math.pi / columns)
    if turn_deg is not None:
        angle = angle + torch.deg2rad(turn_deg)[:, None]
    direction = torch.stack([angle.sin(), -angle.cos()], dim=-1)  # (B or 1, columns, 2)
    grid = (radius[:, None, None] * direction[:, None]).expand(len(chips), -1, -1, -1)
    if zoom is not None:
        grid = grid * zoom[:, None, None, None]
    if shift is not None:
        grid = grid + (shift * shift.new_tensor([1.0, -1.0]))[:, None, None, :]
    return F.grid_sample(chips, grid.to(chips.dtype), padding_mode="border", align_corners=False)


def turned_view(
    chips: Tensor,
    side: int,
    shift: Tensor | None = None,
    zoom: Tensor | None = None,
    turn_deg: Tensor | None = None,
) -> Tensor:
    """Turn chips around their centres; arguments as of :func:`polar_view`.

    Returns:
        ``(B, 3, side, side)``, the heading ``turn_deg`` up; beyond the chip its edge goes on.
    """
    at = (torch.arange(side, device=chips.device) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    grid = torch.stack([x, y], dim=-1).expand(len(chips), -1, -1, -1)
    if turn_deg is not None:
        a = torch.deg2rad(turn_deg)
        turn = torch.stack([a.cos(), -a.sin(), a.sin(), a.cos()], dim=-1).view(-1, 2, 2)
        grid = torch.einsum("bij,bhwj->bhwi", turn, grid)
    if zoom is not None:
        grid = grid * zoom[:, None, None, None]
    if shift is not None:
        grid = grid + (shift * shift.new_tensor([1.0, -1.0]))[:, None, None, :]
    return F.grid_sample(chips, grid.to(chips.dtype), padding_mode="border", align_corners=False)


def stretched_view(photos: Tensor, sizes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Stretch photos over the whole view, whatever their shape, as the original project did.

    Args:
        photos: ``(B, 3, S, S)`` float, each centred in its square.
        sizes: ``(B, 2)`` width and height of the photo inside the square [px].
        shape: rows and columns of the view.

    Returns:
        ``(B, 3, rows, columns)``.
    """
    at = [(torch.arange(n, device=photos.device) + 0.5) / n * 2 - 1 for n in shape]
    y, x = torch.meshgrid(*at, indexing="ij")
    half = sizes.to(photos.dtype) / photos.shape[-1]  # (B, 2)
    grid = torch.stack([x, y], dim=-1)[None] * half[:, None, None, :]
    return F.grid_sample(photos, grid, padding_mode="border", align_corners=False)


def photo_columns(fov_deg: float, headings: int) -> int:
    """Return the number of heading columns of a photo of ``fov_deg``, with ``headings`` in 360."""
    return max(1, math.ceil(fov_deg / 360 * headings - 1e-6))


def photo_view(
    photos: Tensor,
    sizes: Tensor,
    fov_deg: Tensor,
    shape: tuple[int, int],
    span_deg: float,
    top: float | None = None,
    crop_deg: Tensor | None = None,
    crop_at: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Project photos on a cylinder, so that equal columns are equal angles.

    A pinhole camera sees heading ``a`` at ``x = f tan a`` and elevation tangent ``e`` at
    ``y = f e / cos a``; ``f = (S / 2) / tan(fov / 2)`` for a long side of ``S`` pixels. A portrait
    photo is narrower than its square and so sees a smaller angle across.

    Args:
        photos: ``(B, 3, S, S)`` float, each centred in its square.
        sizes: ``(B, 2)`` width and height of the photo inside the square [px].
        fov_deg: ``(B,)`` field of view along the long side [degrees].
        shape: rows and columns of the view.
        span_deg: angle the view's columns span [degrees].
        top: tangent of elevation at the view's upper edge, minus that of the lower, so that equal
            rows are equal elevations whatever the lens; default: of a square photo's edges.
        crop_deg: ``(B,)`` show only so wide a part of each photo, and as much less of its height,
            as a longer lens would have [degrees]; default: all.
        crop_at: ``(B,)`` where that part lies, -1 leftmost to 1 rightmost.

    Returns:
        The views, ``(B, 3, rows, columns)``; which of their pixels show the photo,
        ``(B, 1, rows, columns)``; and which columns its width covers, ``(B, columns)``; 0 or 1.
    """
    rows, columns = shape
    side = photos.shape[-1]
    focal = 1 / torch.tan(torch.deg2rad(fov_deg) / 2)  # (B,) in half sides
    step = math.radians(span_deg) / columns
    angle = (torch.arange(columns, device=photos.device) + 0.5 - columns / 2) * step
    rise = (torch.arange(rows, device=photos.device) + 0.5) / rows * 2 - 1
    edge = torch.ones_like(focal) if top is None else focal * top  # (B,) in half sides
    half = sizes.to(focal.dtype) / side  # (B, 2) half width and height, in half sides
    seen_by = torch.atan(half[:, 0] / focal)  # (B,) half of the angle across
    part, turned = seen_by, torch.zeros_like(seen_by)
    if crop_deg is not None and crop_at is not None:
        part = torch.minimum(torch.deg2rad(crop_deg) / 2, seen_by)
        turned = crop_at * (seen_by - part)
    heading = angle[None] + turned[:, None]  # (B, columns) from the camera's axis
    x = focal[:, None] * heading.tan()
    height = edge[:, None, None] * rise[None, :, None]  # (B, rows, 1) straight ahead
    y = height / heading.cos()[:, None]
    grid = torch.stack([x[:, None, :].expand(-1, rows, -1), y], dim=-1)  # (B, rows, columns, 2)
    across = angle[None].abs() <= part[:, None] + 1e-6  # (B, columns)
    low = half[:, 1] * part.tan() / seen_by.tan()  # half height of the part
    inside = (grid.abs() <= half[:, None, None, :]).all(dim=-1) & across[:, None]
    inside &= (height / angle.cos()).abs() <= low[:, None, None] + 1e-6
    view = F.grid_sample(photos, grid.to(photos.dtype), align_corners=False)
    return view, inside[:, None].to(photos.dtype), across.to(photos.dtype)


def column_mask(seen: Tensor, columns: int) -> Tensor:
    """Mark the heading columns of which a photo sees at least half, and always the middle one.

    Args:
        seen: ``(B, view columns)`` of 0 or 1, from :func:`photo_view`.
        columns: heading columns; where they do not divide the view's, neighbours share some.

    Returns:
        ``(B, columns)`` of 0 or 1.
    """
    share = F.adaptive_avg_pool1d(seen[:, None], columns)[:, 0]
    mask: Tensor = (share >= 0.5).to(seen.dtype)
    mask[:, columns // 2] = 1
    return mask
