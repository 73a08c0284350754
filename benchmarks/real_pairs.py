"""Rank real places by real photos: 25 of CVUSA and 10 of London, fetched by hand.

    git clone https://github.com/dipampatel18/sat2street cvusa      # commit 131970c
    git clone https://github.com/lizuoyue/sate_to_ground london     # commit 60a58e8
    python -m benchmarks.real_pairs --cvusa cvusa --london london --model witw.safetensors

Both repositories state no licence, so nothing of them is stored here. Eight views of 65 degrees
are cut from each panorama as a camera would take them; the network is not told their headings. The
own picture from above of a photo is ranked among all 35. Their scales are unknown, and taken as
that of the network. 35 places can show that a network is better than chance on real pixels, and no
more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from witw.cvig import heat, retrieval
from witw.cvig.metrics import share
from witw.cvig.network.model import Model, device
from witw.cvig.retrieval import Codes
from witw.cvig.scoring.intervals import intervals
from witw.images.resize import letterbox

FOV_DEG, SIZE = 65.0, (480, 360)
HEADINGS = np.arange(0, 360, 45)
FULL_DEG = 360.0


def places(cvusa: Path, london: Path) -> list[tuple[Image.Image, Image.Image]]:
    """Return the panorama and the picture from above of each place."""
    found = []
    for street in sorted((cvusa / "data/test/street").glob("*.jpg")):
        found.append((street, cvusa / "data/test/satellite" / street.name))
    for above in sorted((london / "data/test").glob("*_sate_rgb_00.png")):
        found.append((above.with_name(above.name.replace("_sate_", "img_street_")), above))
    if not found:
        raise SystemExit(f"{cvusa} and {london} hold no pairs; see --help")
    return [(Image.open(a).convert("RGB"), Image.open(b).convert("RGB")) for a, b in found]


def view(panorama: Image.Image, heading_deg: float) -> Image.Image:
    """Cut a view of :data:`FOV_DEG` from an equirectangular panorama, its horizon in the middle.

    Args:
        panorama: 360 degrees wide, with square pixels.
        heading_deg: of the view's middle, clockwise from that of the panorama [degrees].
    """
    width, height = SIZE
    x = np.arange(width) - (width - 1) / 2
    y = np.arange(height) - (height - 1) / 2
    focal = width / 2 / np.tan(np.radians(FOV_DEG / 2))
    right = np.degrees(np.arctan2(x, focal))[None].repeat(height, 0)
    down = np.degrees(np.arctan2(y[:, None], np.hypot(x, focal)[None]))
    pixels = np.asarray(panorama)
    a_degree = panorama.width / FULL_DEG
    column = (panorama.width / 2 + (right + heading_deg) * a_degree) % panorama.width
    row = (panorama.height / 2 + down * a_degree).clip(0, panorama.height - 1)
    return Image.fromarray(pixels[row.astype(int), column.astype(int) % panorama.width])


def encoded(model: Model, pairs: list[tuple[Image.Image, Image.Image]]) -> Codes:
    """Encode one view and one picture from above of each place; see :class:`Codes`."""
    shape, squares, sizes = model.network.shape, [], []
    for photo, _ in pairs:
        square, width, height = letterbox(photo, shape.photo_px)
        squares.append(square)
        sizes.append((width, height))
    chips = [np.asarray(above.resize((shape.chip_px,) * 2)) for _, above in pairs]
    photos = heat.encode_photos(model, squares, sizes, [FOV_DEG] * len(pairs))
    with torch.inference_mode():
        chip = model.network.encode_chips(torch.from_numpy(np.stack(chips)).to(device()))
    return Codes(photos.columns, photos.mask, chip.columns, photos.vector, chip.vector)


def main() -> None:
    """Print recall beside chance, with intervals over places."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in ("cvusa", "london", "model"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    model, found = Model.load(args.model, device()), places(args.cvusa, args.london)
    model.network.eval()
    ranks: list[NDArray[np.int64]] = []
    for heading in HEADINGS:
        views = [(view(panorama, heading), above) for panorama, above in found]
        codes = encoded(model, views)
        ranks.append(retrieval.ranks(codes, model.blend))
    rank, place = np.concatenate(ranks), np.tile(np.arange(len(found)), len(HEADINGS))
    told = {f"R@{k}": share(rank <= k) for k in (1, 5, 10)}
    ends = intervals(told, place)
    print(f"{len(found)} places, {len(HEADINGS)} views of {FOV_DEG:g} degrees of each; median rank "
          f"{np.median(rank):.0f}")  # fmt: skip
    for name, k in (("R@1", 1), ("R@5", 5), ("R@10", 10)):
        low, high = ends[name]
        print(f"{name}: {100 * (rank <= k).mean():.1f} % ({low:.1f} to {high:.1f}), "
              f"chance {100 * k / len(found):.1f} %")  # fmt: skip


if __name__ == "__main__":
    main()
