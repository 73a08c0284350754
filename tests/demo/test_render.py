import io

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from witw.demo.camera.film import develop, encode
from witw.demo.camera.raycast import FAR_M, Camera, View, cast, sees
from witw.demo.camera.render import render
from witw.demo.camera.rooms import render_room
from witw.demo.city.materials import FIRST_ROOF, RGB, WALL_RGB, Material
from witw.demo.city.raster import RES_M, CityRaster
from witw.demo.city.world import World

RED_ROOF = FIRST_ROOF
BLUE_ROOF = FIRST_ROOF + 5
N = 480
HALF = N * RES_M / 2


@pytest.fixture(scope="module")
def plain():
    """Return grass with a red building of 10 m in the north and a blue one of 6 m in the east."""
    material = np.full((N, N), Material.GRASS, np.uint8)
    eave = np.full((N, N), -9, np.float32)
    x = -HALF + (np.arange(N) + 0.5) * RES_M
    at_x, at_y = np.meshgrid(x, -x)
    north = (np.abs(at_x) < 30) & (np.abs(at_y - 50) < 10)
    east = (np.abs(at_x - 60) < 10) & (np.abs(at_y) < 15)
    material[north], eave[north] = RED_ROOF, 10
    material[east], eave[east] = BLUE_ROOF, 6
    height = np.maximum(eave, 0)
    ground = (255 * np.sqrt(RGB[material])).astype(np.uint8)
    return CityRaster(
        -HALF, HALF, material, height, eave, ground, material, height, np.zeros((0, 5), np.float32)
    )


@pytest.fixture(scope="module")
def world():
    made = World(1)
    made.angle = 0.0
    return made


def hue(light):
    return light / light.sum(axis=-1, keepdims=True)


def middle(light):
    """Return the mean light just above the horizon, in the middle columns."""
    rows, columns = light.shape[:2]
    return light[int(rows * 0.44) : int(rows * 0.49), columns // 2 - 6 : columns // 2 + 6].mean(
        (0, 1)
    )


def test_a_wall_is_seen_at_its_distance_height_and_place(plain):
    camera = Camera(0, 0, 0, 60, pitch_deg=0, eye_m=1.6)
    view = View(camera, 200, 150)
    hits = cast(plain, view)
    column = 100
    rows = np.nonzero(hits.wall[:, column])[0]
    assert hits.t[rows, column] == pytest.approx(40, abs=0.2)
    # A wall 10 m high at 40 m: its top 8.4 m above the eye, its foot 1.6 m below.
    top, foot = 75 - view.focal_px * 8.4 / 40, 75 + view.focal_px * 1.6 / 40
    assert rows[0] == pytest.approx(top, abs=1.5)
    assert rows[-1] == pytest.approx(foot, abs=1.5)
    assert hits.sky[: rows[0] - 1, column].all()
    assert not hits.sky[rows[0] + 1 :, column].any()
    # A span from -30 to 30 m at 40 m covers 73.7 degrees: the whole picture.
    assert hits.wall[60].all()


def test_ground_is_hit_where_the_ray_descends_to_it(plain):
    view = View(Camera(0, 0, 180, 60, pitch_deg=0, eye_m=1.6), 100, 75)
    hits = cast(plain, view)
    rows = np.arange(45, 75)
    expected = -1.6 / view.slope[45:75]
    assert_array_equal(hits.wall[rows], False)
    assert hits.t[rows] == pytest.approx(expected, rel=0.01)
    assert hits.y[rows, 50] == pytest.approx(-hits.t[rows, 50], rel=0.01)


@pytest.mark.parametrize(("heading", "material"), [(0, RED_ROOF), (360, RED_ROOF), (90, BLUE_ROOF)])
def test_heading_is_clockwise_from_north(world, plain, heading, material):
    light = render(world, plain, Camera(0, 0, heading, 50, 0), 120, 90)
    others = [RED_ROOF, BLUE_ROOF, Material.GRASS]
    apart = [np.abs(hue(middle(light)) - hue(WALL_RGB[m])).sum() for m in others]
    assert others[int(np.argmin(apart))] == material


def test_east_is_right_when_looking_north(world, plain):
    light = render(world, plain, Camera(0, 0, 45, 80, 0), 160, 120)
    row = slice(50, 58)
    left, right = hue(light[row, :30].mean((0, 1))), hue(light[row, -30:].mean((0, 1)))
    assert left[0] > right[0]
    assert right[2] > left[2]


def test_sky_above_ground_below(world, plain):
    light = render(world, plain, Camera(0, 0, 225, 60, 0), 120, 90)
    assert hue(light[:10].mean((0, 1)))[2] > 0.33
    assert np.argmax(light[-10:].mean((0, 1))) == 1


def test_sees_measures_to_the_first_tall_thing(plain):
    assert np.median(sees(plain, Camera(0, 0, 0, 30))) == pytest.approx(40, abs=1.2)
    assert np.median(sees(plain, Camera(0, 0, 90, 20))) == pytest.approx(50, abs=1.5)
    assert (sees(plain, Camera(0, 0, 225, 60)) == np.float32(FAR_M)).all()


def test_a_tree_hides_objects_behind_it_only(world, plain):
    camera = Camera(0, 0, 0, 50, 0)
    bare = render(world, plain, camera, 120, 90)
    for north, changes in ((20.0, True), (75.0, False)):
        tree = np.array([[0, north, 3.0, 8.0, 1.0]], dtype=np.float32)
        fields = {**vars(plain), "trees": tree}
        light = render(world, CityRaster(**fields), camera, 120, 90)
        wall = slice(30, 45)
        assert bool(np.abs(light[wall] - bare[wall]).max() > 0.05) is changes


def test_a_file_is_an_ordinary_jpeg():
    rng = np.random.default_rng(3)
    light = render_room(rng, 60, 100, 75)
    photo = develop(light, rng, (500, 375))
    file = Image.open(io.BytesIO(encode(photo, 28)))
    assert (file.format, file.mode, file.size) == ("JPEG", "RGB", (500, 375))
    assert file.getexif().get_ifd(0x8769)[0xA405] == 28
    grey = Image.open(io.BytesIO(encode(photo.convert("L"))))
    assert grey.mode == "L"
    assert not grey.getexif()


def test_a_room_fills_the_picture_and_is_lit():
    for seed in range(5):
        light = render_room(np.random.default_rng(seed), 65, 80, 60)
        assert light.shape == (60, 80, 3)
        assert np.isfinite(light).all()
        # Lamplight is warm overall.
        assert light[..., 0].mean() > light[..., 2].mean()
