"""Half a million photos of a synthetic city, as crowded as a real one.

Positions are heavy-tailed: a few sights have thousands of photos and most places a handful.
Thousands lie on exactly one geotag, the position of the city's name. Uploads come in bursts: an
owner's photos of a day arrive within seconds.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witw.demo.fake_flickr.catalog.draws import hex_text

PARIS_BBOX_DEG = (2.1109464, 48.4492509, 2.3131089, 49.0767795)
PIN = (48.856667, 2.218333)  # lat, lon of the crowded geotag, EPSG:4326 [degrees]
PIN_SHARE = 0.04  # default share of all photos on that geotag
HOT_SHARE = 0.86  # share of the remaining photos; the others lie anywhere
SPOT_SIGMA_DEG = (0.00015, 0.004)  # smallest and largest north-south extent of a hot spot
FIRST = int(datetime(2004, 2, 10, tzinfo=UTC).timestamp())
LAST = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
# Start of Flickr's 4.0 licences (ids from 11), which replace their 2.0 versions.
CC4 = int(datetime(2025, 6, 18, tzinfo=UTC).timestamp())
_LICENSES = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
_SHARES = np.array([27.0, 15.0, 23.0, 14.0, 9.5, 4.5, 1.0, 0.5, 2.5, 3.0])
_AS_CC4 = {1: 15, 2: 14, 3: 16, 4: 11, 5: 12, 6: 13}
_TITLES = (
    "",
    "Paris",
    "IMG_2041",
    "DSC00417",
    "Untitled",
    "La Seine à l'aube",
    "Château de Versailles — l'Orangerie",
    "Notre-Dame &amp; sa flèche",
    "Rue <b>Mouffetard</b>",
    "パリの散歩道",
    "Ночной Париж",
    "برج إيفل",
    '«Café» "du coin" 🙂',
    "Tour Eiffel " + "x" * 200,
)


def paris(n: int, *, seed: int, pin: int = 0) -> dict[str, Any]:
    """Return columns of ``n`` synthetic photos in the box of the area Paris, all openly licensed.

    Args:
        n: Number of photos.
        seed: Seed of all draws.
        pin: Number of photos on exactly one geotag; 0: 4 %.

    Returns:
        Arrays of length ``n`` (or one value for all), by the names of ``records.CatalogPhoto``'s
        fields, for ``Catalog.from_columns``. Coordinates have six decimals and lie at least 1e-6
        degrees inside the box.
    """
    rng = np.random.default_rng([seed, n, 7])
    lat, lon = _places(n, rng)
    pinned = rng.permutation(n)[: pin or round(PIN_SHARE * n)]
    lat[pinned], lon[pinned] = PIN
    owner, upload = _uploads(n, rng)
    owners = np.array(
        [f"{number:08d}@N0{number % 9}" for number in range(owner.max(initial=0) + 1)]
    )
    wide = rng.random(n) < 0.75
    long_px = rng.choice([375, 333, 334, 281, 500], n, p=[0.4, 0.25, 0.1, 0.15, 0.1])
    return {
        "id": _ids(upload, rng),
        "owner": owners.astype(object)[owner],
        "owner_name": np.array([f"Zoë n° {k} <{k}>" for k in range(97)], object)[owner % 97],
        "title": np.array(_TITLES, object)[rng.integers(0, len(_TITLES), n)],
        "lat": lat,
        "lon": lon,
        "accuracy": rng.choice([16, 15, 14, 12, 11], n, p=[0.8, 0.08, 0.06, 0.03, 0.03]),
        "license_id": _licenses(n, owner, upload, rng),
        "date_upload": upload,
        "date_taken": (upload - rng.exponential(20 * 86_400, n).astype(np.int64)).astype(
            "datetime64[s]"
        ),
        "secret": hex_text(rng.integers(0, 2**63, n).astype(np.uint64), 10),
        "width": np.where(wide, 500, long_px),
        "height": np.where(wide, long_px, 500),
        "has_url": rng.random(n) >= 0.002,
    }


def _places(n: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return latitude and longitude [degrees]: hot spots of heavy-tailed size, and elsewhere."""
    west, south, east, north = PARIS_BBOX_DEG
    spots = max(12, round(4 * n**0.5))
    # The city proper lies in the north of the box, while sights scatter over the rest.
    middle = rng.random(spots) < 0.8
    spot_lat = np.where(middle, rng.normal(48.86, 0.035, spots), rng.uniform(south, north, spots))
    spot_lon = np.where(middle, east - rng.exponential(0.05, spots), rng.uniform(west, east, spots))
    weight = rng.pareto(1.1, spots) + 0.02
    smallest, largest = map(math.log, SPOT_SIGMA_DEG)
    sigma = np.exp(rng.uniform(smallest, largest, spots))
    spot = rng.choice(spots, n, p=weight / weight.sum())
    # A degree of longitude is two thirds as long as one of latitude here.
    lat = spot_lat[spot] + rng.normal(0, 1, n) * sigma[spot]
    lon = spot_lon[spot] + rng.normal(0, 1.5, n) * sigma[spot]
    anywhere = (rng.random(n) >= HOT_SHARE) | (lat <= south) | (lat >= north)
    anywhere |= (lon <= west) | (lon >= east)
    count = int(anywhere.sum())
    lat[anywhere], lon[anywhere] = rng.uniform(south, north, count), rng.uniform(west, east, count)
    return (
        np.clip(np.round(lat, 6), np.ceil(south * 1e6 + 1) / 1e6, np.floor(north * 1e6 - 1) / 1e6),
        np.clip(np.round(lon, 6), np.ceil(west * 1e6 + 1) / 1e6, np.floor(east * 1e6 - 1) / 1e6),
    )


def _uploads(n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return owner number and upload date [s] of each photo: bursts within seconds per owner."""
    length = np.minimum(1 + (rng.pareto(1.3, n) * 2).astype(np.int64), 400)
    burst = np.repeat(np.arange(n), length)[:n]
    bursts = int(burst.max(initial=0)) + 1
    owners = max(1, n // 60)
    owner = (rng.pareto(0.9, bursts) * owners / 20).astype(np.int64) % owners
    # Most in 2008 to 2016, fewer since, and some in every year.
    years = np.where(rng.random(bursts) < 0.7, rng.normal(0.42, 0.17, bursts), rng.random(bursts))
    years = np.where((years < 0) | (years >= 1), rng.random(bursts), years)
    began = (FIRST + years * (LAST - FIRST)).astype(np.int64)
    first = np.flatnonzero(np.diff(burst, prepend=-1))
    # Zero to three seconds between the photos of a burst.
    steps = np.cumsum(rng.integers(0, 4, n))
    upload = began[burst] + steps - np.repeat(steps[first], np.diff(first, append=n))
    order = rng.permutation(n)
    return owner[burst][order], upload[order]


def _licenses(
    n: int, owner: NDArray[np.int64], upload: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return licences 1 to 16: mostly an owner's usual one, 4.0 instead of 2.0 since it exists."""
    usual = rng.choice(_LICENSES, int(owner.max(initial=0)) + 1, p=_SHARES / _SHARES.sum())
    other = rng.choice(_LICENSES, n, p=_SHARES / _SHARES.sum())
    license_id = np.where(rng.random(n) < 0.3, other, usual[owner])
    cc4 = np.arange(17)
    cc4[list(_AS_CC4)] = list(_AS_CC4.values())
    # Some owners have changed the licences of older photos too.
    newer = (upload >= CC4) | (rng.random(n) < 0.01)
    license_id = np.where(newer, cc4[license_id], license_id)
    # Every licence occurs, however few photos there are.
    some = rng.permutation(n)[:16]
    license_id[some] = np.arange(1, 17)[: len(some)]
    return license_id


def _ids(upload: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return ids that grow with the upload date, as Flickr's do, except in detail."""
    n = len(upload)
    order = np.argsort(upload, kind="stable")
    gaps = rng.integers(1, max(2, int(53_000_000_000 / max(n, 1))), n)
    ids = np.empty(n, np.int64)
    ids[order] = 1_000_000 + np.cumsum(gaps)
    # Neighbours are swapped, so that ids within one second do not reveal the order.
    swap = order[: n // 2 * 2].reshape(-1, 2)[rng.random(n // 2) < 0.3]
    ids[swap[:, 0]], ids[swap[:, 1]] = ids[swap[:, 1]], ids[swap[:, 0]].copy()
    return ids
