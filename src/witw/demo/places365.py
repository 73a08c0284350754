"""Make a checkpoint in the Places365 format that separates synthetic rooms from streets.

The published weights cannot be shipped. This checkpoint is the same network with random features.
Only its last layer is fitted, on synthetic pictures, so it cannot judge real photos.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torchvision.models import ResNet

from witw.demo.camera.film import develop
from witw.demo.camera.rooms import render_room
from witw.demo.city.cities import CHECKPOINT, City
from witw.demo.city.raster import rasterise
from witw.demo.city.world import World
from witw.demo.photos import plan, shoot
from witw.files import atomic
from witw.places365 import network

_SHAPE = (220, 165)
_HALF_M = 110.0
_CITIES = 4
# Scenes that the synthetic photos could show; other scenes of the same side are equally likely.
_STREETS = (
    "alley", "apartment_building/outdoor", "building_facade", "courtyard", "crosswalk", "downtown",
    "driveway", "house", "park", "parking_lot", "plaza", "promenade", "residential_neighborhood",
    "street",
)  # fmt: skip
_ROOMS = (
    "attic", "basement", "bathroom", "bedroom", "childs_room", "corridor", "dining_room",
    "home_office", "hotel_room", "kitchen", "living_room", "office", "staircase", "waiting_room",
)  # fmt: skip
_LEAD = 1.5  # added to their logits; a photo that clearly belongs to one side has about 6
_CITY = City("practice", 9.01, 47.02, half_m=_HALF_M)


def pictures(seed: int, count: int) -> tuple[list[Image.Image], NDArray[np.bool_]]:
    """Return synthetic photos of rooms and of streets, half each, from separate cities.

    Args:
        seed: Seed of the photos; seeds other than those of a demo's cities give other cities.
        count: Number of photos.

    Returns:
        The photos, and whether each is indoor, (count,).
    """
    streets: list[Image.Image] = []
    for number in range(_CITIES):
        world = World(_CITIES * seed + number)
        raster = rasterise(world, _HALF_M + 50)
        shots = [s for s in plan(_CITY, number, raster, count, seed) if s.kind == "street"]
        files = (shoot(s, world, raster, seed) for s in shots[: count // 2 // _CITIES])
        streets += [Image.open(io.BytesIO(file)) for file in files]
    rng = np.random.default_rng([seed, 51])
    rooms = [
        develop(render_room(rng, rng.uniform(45, 80), *_SHAPE), rng, (500, 375))
        for _ in range(count - len(streets))
    ]
    return [*rooms, *streets], np.arange(count) < len(rooms)


def make_checkpoint(path: Path, seed: int = 0, count: int = 96) -> None:
    """Write the checkpoint; equal arguments give equal bytes on one machine.

    Args:
        path: File to write.
        seed: Seed of the random features.
        count: Number of pictures to which the last layer is fitted.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net = network.network("resnet18")
    assert isinstance(net, ResNet)
    images, indoor = pictures(9_000_000 + seed, count)
    pixels = np.stack([network.preprocess(i.convert("RGB"), "resnet18") for i in images])
    batch = network.normalise(torch.from_numpy(pixels))
    fit(net, batch, indoor, seed)
    state = {f"module.{key}": value for key, value in net.state_dict().items()}
    # Through memory: torch writes the file's name into the archive, and temporary names vary.
    whole = io.BytesIO()
    torch.save({"epoch": 0, "arch": "resnet18", "state_dict": state, "made": CHECKPOINT}, whole)
    with atomic(path) as part:
        part.write_bytes(whole.getvalue())


def fit(net: ResNet, batch: Tensor, indoor: NDArray[np.bool_], seed: int) -> None:
    """Fit a network's normalisation to a batch, and its last layer by ridge regression.

    Args:
        net: Network from :func:`witw.places365.network.network`; changed in place.
        batch: (N, 3, 224, 224).
        indoor: (N,).
        seed: Seed of the differences between classes of one side.
    """
    with torch.no_grad():
        _settle(net, batch[:: max(1, len(batch) // 16)][:16])
        last = net.fc
        net.fc = nn.Identity()
        parts = torch.split(batch, 16)
        features = torch.cat([net.eval()(part) for part in parts]).numpy()
        net.fc = last
        mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
        x = ((features - mean) / scale).astype(np.float64)
        target = np.where(indoor, -1.0, 1.0)
        # Ridge regression in dual form, because there are fewer pictures than features.
        weight = x.T @ np.linalg.solve(x @ x.T + 0.1 * x.shape[1] * np.eye(len(x)), target)
        side = np.where(network.indoor(), -1.0, 1.0)[:, None]
        # All classes of a side share a direction; a small individual term varies their order.
        own = np.random.default_rng(seed).standard_normal((network.CLASSES, x.shape[1])) * 0.002
        rows = (6 * side * weight + own) / scale
        last.weight.copy_(torch.from_numpy(rows).float())
        likely = np.isin(network.categories(), _STREETS + _ROOMS)
        last.bias.copy_(torch.from_numpy(-rows @ mean + _LEAD * likely).float())


def _settle(net: nn.Module, batch: Tensor) -> None:
    """Set the running statistics of every normalisation layer from one batch."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    net.train()(batch)
    for norm in norms:
        norm.momentum = 0.1
