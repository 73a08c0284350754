"""The search as called by other programs: places and headings, parts of an area, several photos."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_city import CENTRE, EPSG, shoot
from PIL import Image
from pyproj import Transformer

from witw.cvig.grid import Grid
from witw.cvig.heat import encode_photos, heat
from witw.cvig.locating.located import Located, Scene
from witw.cvig.locating.locator import Locator
from witw.cvig.locating.regions import Around, Within, parse_around, read_polygons
from witw.cvig.network.model import Model
from witw.cvig.scoring import localization, presence, unusual
from witw.cvig.scoring.assurance import Assurance
from witw.cvig.scoring.calibration import STEPS, Calibration
from witw.cvig.scoring.localization import likeliest
from witw.cvig.scoring.presence import Presence
from witw.dataset.packed import Packed
from witw.errors import UserError
from witw.images.photo import open_photo
from witw.images.query import Photo
from witw.images.resize import letterbox

PLACES = [(-180, -150, 30), (60, -200, 200), (-100, 40, 290), (10, 120, 120), (190, -30, 75)]
TO_DEGREES = Transformer.from_crs(EPSG, 4326, always_xy=True)


@pytest.fixture(scope="module")
def locator(trained, city):
    files = trained / "model.pt", city / "cells.safetensors", city / "mosaic.tif"
    return Locator.open(*files, "made", Calibration(0.05, 20.0))


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shots")
    for n, (*offset, heading) in enumerate(PLACES):
        shoot(folder / f"{n}.jpg", CENTRE + offset, heading)
    return sorted(folder.iterdir())


def test_places_and_headings_are_found_in_an_unseen_city(locator, shots):
    distance_m, turned = [], []
    for found, (*offset, heading) in zip(locator.locate(shots), PLACES, strict=True):
        best = found.places(1)[0]
        distance_m.append(np.hypot(*(np.array([best.easting, best.northing]) - CENTRE - offset)))
        turned.append(abs((best.heading_deg[0] - heading + 180) % 360 - 180))
        lon, lat = TO_DEGREES.transform(best.easting, best.northing)
        assert (best.lon, best.lat) == pytest.approx((lon, lat), abs=1e-9)
    assert np.median(distance_m) < 60  # chance is 1.4 %
    assert np.median(turned) < 25


def test_the_places_of_an_answer_are_chosen_once(locator, shots, monkeypatch):
    choose, chosen = localization.non_max_suppression, []
    monkeypatch.setattr(
        localization, "non_max_suppression", lambda *args: chosen.append(args) or choose(*args)
    )
    found = locator.locate(shots[:1])[0]
    places = found.places(3)
    assert [place.cell for place in places] == found.likely[:3].tolist()
    assert not any(math.isnan(place.heading_deg[0]) for place in places)
    assert len(chosen) == 1
    everything = found.places(len(found.grid.cells))
    assert [p.cell for p in everything[: len(found.likely)]] == found.likely.tolist()


def test_the_map_equals_the_stages_for_any_batch(locator, shots, trained, city):
    alone = [locator.locate([path])[0] for path in shots]
    for found, one, path in zip(locator.locate(shots), alone, shots, strict=True):
        np.testing.assert_allclose(found.probability, one.probability, rtol=1e-3, atol=1e-9)
        square, *size = letterbox(open_photo(path), 24)
        code = encode_photos(locator.model, [square], [tuple(size)], [math.nan])
        old = heat(locator.model, code, locator.index, Calibration(0.05, 20.0))
        np.testing.assert_allclose(one.probability, old.probability, rtol=1e-3, atol=1e-9)
        assert one.probability.sum() == pytest.approx(1)


def test_headings_refer_to_true_north(locator, shots):
    found = locator.locate(shots[:1])[0]
    place = found.places(1)[0]
    # On the ground: the direction of a step towards grid north, in degrees.
    (lon, lat) = TO_DEGREES.transform(place.easting, place.northing + 100)
    turn = math.degrees(math.atan2(
        (lon - place.lon) * math.cos(math.radians(lat)), lat - place.lat))  # fmt: skip
    grid_heading = float(found.heading_deg[0, place.cell])
    assert (place.heading_deg[0] - grid_heading - turn + 180) % 360 - 180 == pytest.approx(
        0, abs=0.1
    )


def test_a_part_of_the_area_is_searched(locator, shots):
    *offset, _ = PLACES[1]
    east, north = CENTRE + offset
    lon, lat = TO_DEGREES.transform(east, north)
    found = locator.locate(shots[1:2], within=Around(lat, lon, 0.15))[0]
    distance_m = np.hypot(*(found.grid.centres() - [east, north]).T)
    assert 0 < distance_m.max() <= 151
    every = np.hypot(*(locator.grid.centres() - [east, north]).T)
    assert (
        len(found.probability) == (every <= 150).sum()
        or abs(len(found.probability) - (every <= 150).sum()) <= 2
    )
    assert found.probability.sum() == pytest.approx(1)
    whole = locator.locate(shots[1:2])[0]
    at = np.flatnonzero(np.isin(locator.grid.cells, found.grid.cells))
    np.testing.assert_allclose(found.score[0], whole.score[0, at], atol=1e-5)
    with pytest.raises(UserError, match=r"No cell of made lies in the part to search; .* covers"):
        locator.locate(shots[:1], within=Around(10.0, 10.0, 1.0))


def test_a_polygon_is_read_from_a_file(locator, shots, tmp_path):
    edges = [(-200, -200), (200, -200), (-200, 200), (-200, -200)]
    ring = [list(TO_DEGREES.transform(*(CENTRE + e))) for e in np.array(edges)]
    shape = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    path = tmp_path / "part.geojson"
    for content in (shape, feature, {"type": "FeatureCollection", "features": [feature]}):
        path.write_text(json.dumps(content))
        found = locator.locate(shots[:1], within=read_polygons(path))[0]
        x, y = (found.grid.centres() - CENTRE).T
        assert len(x) > 50
        assert (x + y).max() < 1
        assert min(x.min(), y.min()) > -201
    assert isinstance(read_polygons(path), Within)
    path.write_text(json.dumps({"type": "Point", "coordinates": [3, 45]}))
    with pytest.raises(UserError, match=r"--within .*part\.geojson holds no polygon"):
        read_polygons(path)
    path.write_text("no")
    with pytest.raises(UserError, match="holds no polygon"):
        read_polygons(path)
    with pytest.raises(UserError, match="does not exist"):
        read_polygons(tmp_path / "absent.geojson")
    path.write_text(
        json.dumps(
            {"type": "Polygon", "coordinates": [[[5e5, 5e6], [6e5, 5e6], [6e5, 6e6], [5e5, 5e6]]]}
        )
    )
    with pytest.raises(UserError, match="must hold longitude and latitude in degrees"):
        read_polygons(path)


def test_around_is_read_from_text():
    assert parse_around("52.37, 4.9,1.5") == Around(52.37, 4.9, 1.5)
    with pytest.raises(UserError, match="must be latitude, longitude and kilometres"):
        parse_around("52.37,4.9")
    with pytest.raises(UserError, match="latitude comes first"):
        parse_around("152.37,4.9,1")
    for km in ("-1", "0", "nan"):
        with pytest.raises(UserError, match="must end with a distance of more than 0"):
            parse_around(f"52.37,4.9,{km}")


def test_several_photos_of_one_place_are_one_result(locator, tmp_path):
    *offset, _ = PLACES[3]
    paths = [tmp_path / f"{heading}.jpg" for heading in (20, 110, 200, 290)]
    for path in paths:
        shoot(path, CENTRE + offset, float(path.stem))
    (found,) = locator.locate(paths, together=True)
    assert len(found.photos) == 4
    assert found.score.shape == found.heading_deg.shape == (4, len(locator.grid.cells))
    assert found.probability.sum() == pytest.approx(1)
    best = found.places(1)[0]
    assert np.hypot(best.easting - CENTRE[0] - 10, best.northing - CENTRE[1] - 120) < 60
    turned = [abs((a - float(p.stem) + 180) % 360 - 180) for a, p in
              zip(best.heading_deg, paths, strict=True)]  # fmt: skip
    assert np.median(turned) < 25

    def before(one):
        """Return the share of the city that scores at least as high as the place."""
        own = np.hypot(*(one.grid.centres() - CENTRE - offset).T).argmin()
        return (one.probability >= one.probability[own]).mean()

    assert before(found) <= np.median([before(one) for one in locator.locate(paths)])


def made(probability, heading=0.0):
    count = len(probability)
    grid = Grid(EPSG, 30.0, 5e5, 5e6, 1, count, np.arange(count))
    p = np.array(probability, float)
    photo = Photo("a.jpg", Image.new("RGB", (60, 40)))
    turned = np.full((1, count), heading, np.float32)
    best, score = likeliest(p, grid, 2), p[None].astype(np.float32)
    return Located((photo,), "made", grid, p, best, score, turned, (65.0,), None)


def test_regions_equal_a_count_by_hand():
    found = made([0.05, 0.4, 0.1, 0.3, 0.15])
    assert found.region(0.5).tolist() == [False, True, False, True, False]
    assert found.region(0.7).tolist() == [False, True, False, True, False]
    assert found.region(0.71).tolist() == [False, True, False, True, True]
    assert found.region(1.0).all()
    assert found.area_share(0.8) == pytest.approx(0.6)
    # In a flat map no part is better than another.
    assert made([0.25] * 4).region(0.5).all()


def test_places_equal_a_count_by_hand():
    found = made([0.05, 0.4, 0.1, 0.3, 0.15])  # cells 30 m apart
    assert [p.cell for p in found.places(3)] == [1, 3]
    assert [p.rank for p in found.places(3)] == [1, 2]
    assert found.places(1)[0].probability == 0.4


def test_an_indoor_scene_is_reported_and_a_tie_is_outdoor():
    assert Scene(0.4, "kitchen").is_indoor
    assert not Scene(0.5, "porch").is_indoor


def test_an_index_of_another_network_is_refused(trained, city, tmp_path):
    model = Model.load(trained / "model.pt", torch.device("cpu"))
    with torch.no_grad():
        model.network.log_scale += 1e-3
    model.save(tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"cells\.safetensors is of another model than this one"):
        Locator.open(tmp_path / "model.pt", city / "cells.safetensors", city / "mosaic.tif", "x")


def test_presence_and_looks_are_reported_for_each_photo(locator, shots, trained):
    """Measures fitted by an evaluation are applied to every photo, together with its scene."""
    plain = locator.locate(shots)
    assert all(math.isnan(found.here) and found.unusual == () for found in plain)
    train = Packed.open(trained / "train")
    figures = unusual.figures(train.pictures(np.arange(200))[0], train.sizes[:200])
    measure = Presence((5.0, 0.1, 0.1), -4.0, 0.3, 50.0, 0.9)
    sure = replace(locator, assurance=Assurance(measure, unusual.fit(figures, figures)))
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    odd = Photo("noise", Image.fromarray(noise))
    found = sure.locate([*shots, odd])
    for one, old in zip(found, plain, strict=False):
        signs = presence.signs(old.score, old.probability[None])
        assert one.here == pytest.approx(measure.probability(signs)[0], rel=1e-3)
    assert [one.unusual for one in found] == [(False,)] * len(shots) + [(True,)]

    class Indoors:
        def look(self, photos):
            return [Scene(0.1, "kitchen") for _ in photos]

    inside = replace(sure, scenes=Indoors()).locate(shots[:1])[0]
    assert inside.here < 0.1 * found[0].here
    both = sure.locate(shots[:2], together=True)[0]
    lower, upper = sorted(one.here for one in found[:2])
    assert lower <= both.here <= upper


def test_regions_are_the_calibrated_ones(locator, shots):
    held = tuple(min(0.999, 0.3 + step / 150) for step in STEPS)
    wide = replace(locator, calibration=replace(locator.calibration, held=held))
    one, other = locator.locate(shots[:1])[0], wide.locate(shots[:1])[0]
    np.testing.assert_allclose(one.probability, other.probability)
    for level in (0.5, 0.8):
        named = one.probability[one.region(level)].sum()
        assert named >= level
        cut = other.probability[other.region(level)].sum()
        assert cut >= held[STEPS.index(round(100 * level))]
        assert (one.region(level) <= other.region(level)).all()
