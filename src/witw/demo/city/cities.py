"""List of the synthetic cities: position, split and properties of their imagery."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from witw.geo import utm_epsg

CHECKPOINT = "demo_made_resnet18_places365.pth.tar"
AOI_HALF_M = 400.0
# A chip extends 112.5 m beyond its photo, and geotags are off by a few metres more.
MARGIN_M = 130.0
METRES_PER_DEGREE = 111_195.0  # of latitude, on the sphere

Imagery = Literal["plain", "two_strips", "degrees", "wedge"]


@dataclass(frozen=True)
class City:
    """A synthetic city.

    Attributes:
        name: Name of its area.
        lon, lat: its centre, EPSG:4326 [degrees].
        split: part of the data set.
        imagery: one strip in UTM, two that overlap, one in EPSG:4326, or one with a blank corner.
        outskirts_m: extent of the area's box beyond the imagery in the east [m].
        hot_spot: number of photos that share one geotag.
        shards: number of shards of its photos.
        half_m: half the side of the area in which photos are taken [m].
    """

    name: str
    lon: float
    lat: float
    split: Literal["train", "val", "test"] = "train"
    imagery: Imagery = "plain"
    outskirts_m: float = 0.0
    hot_spot: int = 0
    shards: int = 1
    half_m: float = AOI_HALF_M

    @property
    def epsg(self) -> int:
        """EPSG code of the city's UTM zone."""
        return utm_epsg(self.lon, self.lat)

    @property
    def metres_per_degree(self) -> NDArray[np.float64]:
        """Metres per degree of longitude and of latitude at the centre."""
        return METRES_PER_DEGREE * np.array([np.cos(np.radians(self.lat)), 1.0])

    @cached_property
    def _to_utm(self) -> Transformer:
        return Transformer.from_crs(4326, self.epsg, always_xy=True)

    @cached_property
    def centre(self) -> tuple[float, float]:
        """Easting and northing of the centre, in whole metres."""
        east, north = self._to_utm.transform(self.lon, self.lat)
        return float(round(east)), float(round(north))

    @property
    def box_deg(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the area in which photos are taken, EPSG:4326 [degrees]."""
        dx, dy = self.half_m / self.metres_per_degree
        return self.lon - dx, self.lat - dy, self.lon + dx, self.lat + dy

    @property
    def bbox_deg(self) -> tuple[float, float, float, float]:
        """The area's box as in the config: with the outskirts, rounded to a centimetre."""
        west, south, east, north = self.box_deg
        if self.outskirts_m:
            east += (MARGIN_M + self.outskirts_m) / self.metres_per_degree[0]
        west, south, east, north = (round(float(v), 7) for v in (west, south, east, north))
        return west, south, east, north

    @property
    def raster_half_m(self) -> float:
        """Half the side of the square of imagery that makes every chip full [m]."""
        west, south, east, north = self.box_deg
        dx, dy = MARGIN_M / self.metres_per_degree
        x, y = self.local(
            np.array([west - dx, west - dx, east + dx, east + dx]),
            np.array([south - dy, north + dy, south - dy, north + dy]),
        )
        return float(max(np.abs(x).max(), np.abs(y).max())) + 4

    def local(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return metres east and north of the centre, in UTM, of EPSG:4326 points."""
        east, north = self._to_utm.transform(lon, lat)
        return np.asarray(east) - self.centre[0], np.asarray(north) - self.centre[1]

    def geographic(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return longitude and latitude of points given in metres from the centre."""
        lon, lat = self._to_utm.transform(
            np.asarray(x) + self.centre[0], np.asarray(y) + self.centre[1], direction="INVERSE"
        )
        return np.asarray(lon), np.asarray(lat)


_TRAIN = (
    City("alder", 4.8702, 51.3125, imagery="two_strips", hot_spot=12, shards=2),
    City("birch", 14.3120, 56.1208, imagery="degrees"),
    City("cedar", -43.4217, -22.7130, imagery="wedge"),
    City("dogwood", -115.0208, 36.4203, outskirts_m=190, hot_spot=12),
    City("elm", 121.3310, 31.1206),
    City("fir", 32.6211, 15.4104),
    City("gorse", -84.3122, 33.6209),
    City("hazel", 37.3107, 55.6214),
    City("ivy", 39.1705, -6.6201, outskirts_m=190),
    City("juniper", 18.5309, -34.0212, hot_spot=12),
    City("larch", -81.6204, 30.1211),
    City("maple", 174.7615, -36.8127),
)
_VAL = City("oak", -3.5203, 40.1216, split="val")
_TEST = City("rowan", 11.0218, 45.3207, split="test")
ALL = (*_TRAIN, _VAL, _TEST)


def choose(count: int) -> tuple[City, ...]:
    """Return training cities with one validation and one test city; below three, training only.

    Raises:
        ValueError: There are fewer cities than that.
    """
    if not 1 <= count <= len(ALL):
        raise ValueError(f"{count} synthetic cities cannot be built: choose 1 to {len(ALL)}")
    if count < 3:
        return _TRAIN[:count]
    return (*_TRAIN[: count - 2], _VAL, _TEST)
