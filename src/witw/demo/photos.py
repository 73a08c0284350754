"""Plan and shoot the photos of a synthetic city: owner, position, heading, picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import Image
from pyproj import Proj

from witw.demo.camera.film import develop, encode
from witw.demo.camera.raycast import Camera, sees
from witw.demo.camera.render import render
from witw.demo.camera.rooms import render_room
from witw.demo.city.cities import MARGIN_M, City
from witw.demo.city.materials import Material
from witw.demo.city.raster import RES_M, CityRaster
from witw.demo.city.world import World
from witw.demo.fake_flickr.catalog.records import CatalogPhoto

Kind = Literal["street", "room", "grey", "outskirts"]

GEOTAG_SIGMA_M = 8.0
COMPASS_TENTHS = 6  # photos in ten whose camera recorded its heading
COMPASS_SIGMA_DEG = 3.0
_BORDER_M = 25.0  # margin kept by photographers, so that few geotags fall outside the area's box
RENDERED_PX = 190  # long side as rendered; the file has 500 px
LONG_SIDE_PX = 500
_SHAPES = [(4, 3), (3, 2), (16, 9), (1, 1), (3, 4), (2, 3)]
_SHAPE_SHARE = [0.36, 0.26, 0.1, 0.08, 0.12, 0.08]
_OPEN = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
_OPEN_SHARE = np.array([14, 13, 12, 16, 12, 6, 3, 1, 4, 3, 5, 4, 1, 2, 2, 2]) / 100
# Start of Flickr's 4.0 licences (ids from 11).
_CC4 = int(datetime(2025, 6, 18, tzinfo=UTC).timestamp())
_FIRST = int(datetime(2008, 1, 1, tzinfo=UTC).timestamp())
_LAST = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
_TITLES = [
    "",
    "IMG_{n}",
    "DSC0{n}",
    "Untitled",
    "Corner of {n}th street",
    "Sonntagsspaziergang im Grünen",
    "Place du marché",
    "Вечерняя прогулка",
    "散歩道 {n}",
    "شارع قديم",
    "Houses & trees <b>after rain</b>",
    "«Blue hour», almost",
    "Nothing to see here 🙂",
    'My "new" lens, test {n}',
]
_OWNERS = ["ana.b", "Jörg", "walker<3", "Мария", "tanaka", "O'Neill & co", "zoë", "plain_name"]
# Materials on which people stand to take photos, with their weights.
_STAND = np.zeros(256)
_STAND[[Material.PAVEMENT, Material.PATH, Material.PAVING, Material.BRICK]] = 1.0
_STAND[[Material.GRASS, Material.CONCRETE, Material.MARKING, Material.CLAY]] = 0.45
_STAND[[Material.ASPHALT, Material.MEADOW, Material.GRAVEL, Material.PITCH]] = 0.3


@dataclass(frozen=True)
class Shot:
    """One photo to be taken.

    Attributes:
        photo: Its record in the stand-in's API.
        kind: Its subject.
        camera: Its camera; x and y are the true position.
        focal_35mm: Focal length in its EXIF data; None: none.
        compass_deg: Heading in its EXIF data, clockwise from true north; None: none.
    """

    photo: CatalogPhoto
    kind: Kind
    camera: Camera
    focal_35mm: int | None
    compass_deg: float | None


def plan(city: City, number: int, raster: CityRaster, count: int, seed: int) -> list[Shot]:
    """Plan the photos of a city.

    Args:
        city: The city.
        number: Its position in the list, which is part of the photos' ids.
        raster: Shows where a photographer can stand.
        count: Number of openly licensed photos inside the area's box; a few more are all rights
            reserved.
        seed: Seed of the whole demo.
    """
    rng = np.random.default_rng([seed, number, 31])
    kinds = _kinds(city, count, rng)
    reserved = max(1, round(0.05 * count))
    hot = set(
        rng.permutation([k for k, kind in enumerate(kinds) if kind == "street"])[
            : city.hot_spot if count >= 60 else 0
        ].tolist()
    )
    spot = _stand(raster, rng, 0.5 * city.half_m)
    base = 53_000_000_000 + number * 10_000_000
    ids = base + rng.choice(9_999_999, count + reserved, replace=False)
    shots = []
    for k in range(count + reserved):
        kind: Kind = kinds[k] if k < count else "street"
        camera = _aim(city, raster, rng, spot if k in hot else None)
        if kind == "outskirts":
            # From the box's edge to beyond the imagery: some chips are half full, some empty.
            x = city.half_m + MARGIN_M + rng.uniform(-30, city.outskirts_m - 5)
            tag = x, float(rng.uniform(-0.9, 0.9) * city.half_m)
        elif k in hot:
            tag = spot
        else:
            tag = (
                camera.x + rng.normal(0, GEOTAG_SIGMA_M),
                camera.y + rng.normal(0, GEOTAG_SIGMA_M),
            )
        photo = _photo(city, str(ids[k]), tag, k >= count, rng)
        shots.append(_shot(city, photo, kind, camera, rng))
    return _remove_some(shots, count, rng)


def _kinds(city: City, count: int, rng: np.random.Generator) -> list[Kind]:
    """Return the subject of each photo, shuffled."""
    kinds: list[Kind] = ["room"] * round(0.07 * count)
    kinds += ["grey"] * round(0.035 * count)
    kinds += ["outskirts"] * (round(0.07 * count) if city.outskirts_m else 0)
    kinds += ["street"] * (count - len(kinds))
    return [kinds[k] for k in rng.permutation(count)]


def _stand(raster: CityRaster, rng: np.random.Generator, half_m: float) -> tuple[float, float]:
    """Return a place for a photographer, in metres from the centre."""
    n = len(raster.material)
    while True:
        x, y = rng.uniform(-half_m, half_m, 2)
        row, column = int((raster.top - y) / RES_M), int((x - raster.left) / RES_M)
        free = 0 <= row < n and 0 <= column < n and raster.height[row, column] == 0
        if free and rng.random() < _STAND[raster.material[row, column]]:
            return float(x), float(y)


def _aim(
    city: City, raster: CityRaster, rng: np.random.Generator, spot: tuple[float, float] | None
) -> Camera:
    """Return a camera that is not right in front of a wall."""
    while True:
        if spot is None:
            x, y = _stand(raster, rng, city.half_m - _BORDER_M)
        else:
            x, y = (value + float(rng.normal(0, 4)) for value in spot)
        camera = Camera(
            round(x, 2),
            round(y, 2),
            round(float(rng.uniform(0, 360)), 1),
            round(float(rng.uniform(55, 80)), 1),
            float(rng.normal(2.5, 2)),
            float(rng.normal(1.65, 0.08)),
        )
        distance = sees(raster, camera)
        if distance.min() > 3 and np.median(distance) > 12:
            return camera


def _photo(
    city: City,
    photo_id: str,
    tag: tuple[float, float],
    reserved: bool,
    rng: np.random.Generator,
) -> CatalogPhoto:
    west, south, east, north = city.bbox_deg
    lon, lat = city.geographic(np.array(tag[0]), np.array(tag[1]))
    license_id = 0 if reserved else int(rng.choice(_OPEN, p=_OPEN_SHARE))
    upload = int(rng.integers(_CC4 if license_id > 10 else _FIRST, _LAST))
    taken = datetime.fromtimestamp(upload - int(rng.integers(600, 30 * 86_400)), UTC)
    owner = int(rng.integers(0, 24))
    width, height = _SHAPES[rng.choice(len(_SHAPES), p=_SHAPE_SHARE)]
    longest = max(width, height)
    return CatalogPhoto(
        id=photo_id,
        owner=f"{10_000_000 + 97 * owner}@N0{owner % 8}",
        owner_name=_OWNERS[owner % len(_OWNERS)] + (f" {owner}" if owner > 7 else ""),
        title=_TITLES[rng.integers(len(_TITLES))].format(n=rng.integers(100, 999)),
        # Flickr keeps six decimals.
        lat=round(float(lat.clip(south + 1e-5, north - 1e-5)), 6),
        lon=round(float(lon.clip(west + 1e-5, east - 1e-5)), 6),
        accuracy=int(rng.choice([16, 16, 16, 15, 14])),
        license_id=license_id,
        date_upload=upload,
        date_taken=taken.strftime("%Y-%m-%d %H:%M:%S"),
        secret=f"{rng.integers(16**10):010x}",
        server=str(rng.integers(65000, 65999)),
        has_url=bool(rng.random() > 0.03),
        width=round(LONG_SIDE_PX * width / longest),
        height=round(LONG_SIDE_PX * height / longest),
    )


def _shot(
    city: City, photo: CatalogPhoto, kind: Kind, camera: Camera, rng: np.random.Generator
) -> Shot:
    """Assign the field of view to the long side, as lenses do, and EXIF data to some photos.

    Draws depend on the id, so that the choice of photos with a compass changes nothing else.
    """
    half = np.tan(np.radians(camera.fov_deg) / 2)
    share = photo.width / LONG_SIDE_PX
    fov = round(float(2 * np.degrees(np.arctan(half * share))), 2)
    focal = round(18 / float(half)) if rng.random() < 0.4 else None
    turned = Camera(camera.x, camera.y, camera.heading_deg, fov, camera.pitch_deg, camera.eye_m)
    compass = None
    if int(photo.id) % 10 < COMPASS_TENTHS:
        north = Proj(city.epsg).get_factors(photo.lon, photo.lat).meridian_convergence
        # A phone's compass is a few degrees off.
        error = np.random.default_rng([int(photo.id), 51]).normal(0, COMPASS_SIGMA_DEG)
        compass = round(float((camera.heading_deg + north + error) % 360), 2)
    return Shot(photo, kind, turned, focal, compass)


def _remove_some(shots: list[Shot], count: int, rng: np.random.Generator) -> list[Shot]:
    """Mark a few photos as gone, in each of the host's ways."""
    ways = ("404", "410", "placeholder")
    gone = rng.permutation(count)[: max(1, round(0.025 * count))]
    for k, index in enumerate(gone):
        shot = shots[index]
        fields: dict[str, Any] = {**vars(shot.photo), "removed": ways[k % len(ways)]}
        shots[index] = replace(shot, photo=CatalogPhoto(**fields))
    return sorted(shots, key=lambda shot: shot.photo.id)


def shoot(shot: Shot, world: World, raster: CityRaster, seed: int) -> bytes:
    """Take a photo.

    Returns:
        The JPEG file.
    """
    rng = np.random.default_rng([seed, int(shot.photo.id), 41])
    size = shot.photo.width, shot.photo.height
    width, height = (max(8, round(side * RENDERED_PX / LONG_SIDE_PX)) for side in size)
    if shot.kind == "room":
        light = render_room(rng, shot.camera.fov_deg, width, height)
    else:
        light = render(world, raster, shot.camera, width, height)
    image: Image.Image = develop(light, rng, size)
    image = image.convert("L") if shot.kind == "grey" else image
    return encode(image, shot.focal_35mm, shot.compass_deg)


def truth(city: City, shots: list[Shot]) -> pd.DataFrame:
    """Return the true position and heading of each photo, which the workflow never sees.

    Returns:
        ``id``, ``aoi``, ``kind``, ``x`` and ``y`` (UTM of the city [m]), ``heading_deg`` (clockwise
        from grid north) and ``fov_deg`` (horizontal).
    """
    rows = [
        {
            "id": shot.photo.id,
            "aoi": city.name,
            "kind": shot.kind,
            "x": city.centre[0] + shot.camera.x,
            "y": city.centre[1] + shot.camera.y,
            "heading_deg": shot.camera.heading_deg,
            "fov_deg": shot.camera.fov_deg,
        }
        for shot in shots
    ]
    return pd.DataFrame(rows)
