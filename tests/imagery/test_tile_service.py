"""A tile service on loopback as a strip: bounded, each tile requested once, in its position."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.warp import transform
from servers import ranges

from witw.config import load
from witw.errors import UserError
from witw.imagery import stats, stretch, utm
from witw.imagery.choice import Choice
from witw.imagery.strip.tile_service import tile_range
from witw.preflight import notes
from witw.spec import build

ZOOM = 17
BOX = [3.0, 36.0, 3.006, 36.004]
CHIPS = {"size_px": 100}


def colour(x, y):
    return [40 + x % 5 * 30, 60 + y % 5 * 30, 200]


def serve(folder):
    """Serve tiles around the box, each of one colour with a frame; one is missing."""
    left, right, top, bottom = tile_range(BOX, ZOOM)
    for x in range(left - 2, right + 3):
        for y in range(top - 2, bottom + 3):
            path = Path(folder) / f"{ZOOM}/{x}/{y}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((256, 256, 3), colour(x, y), "u1")).save(path)
    (Path(folder) / f"{ZOOM}/{left}/{top}.png").unlink()
    return left, top


def config(url, **keys):
    strip = {"tiles": url, "zoom": ZOOM, "attribution": "Made Maps", "name": "made", **keys}
    area = {"bbox_deg": BOX, "strips": [strip], "chips": CHIPS, "utm": {"gsd_m": 1.0}}
    return load({"aois": {"town": area}})


def spec(chosen, stage):
    return json.loads(build(chosen, stage, "town", "made"))


@pytest.mark.parametrize("form", ["{z}/{x}/{y}", "{TileMatrix}/{TileCol}/{TileRow}"])
def test_tiles_are_requested_once_and_lie_in_their_position(form):
    left, top = serve("served")
    with ranges("served") as server:
        chosen = Choice(config(f"{server.url}/{form}.png"))
        assert chosen.check([("town", "made")]) == []
        first = spec(chosen.config, "stats")
        assert first["strip"]["path"] == "results/town/strips/made.tiles.xml"
        root = Path("results/town/strips")
        stats.run(first, root / "made.stats.json", 2)
        asked = server.taken()["asked"]
        stretch.run(spec(chosen.config, "stretch"), [root / "made.stats.json"], root / "s.json")
        # Without the cache from `stats`, and in another run: from the stored tiles.
        for path in root.glob("*.decoded"):
            path.unlink()
        utm.run(spec(chosen.config, "utm"), root / "s.json", root / "made.utm.tif", 2)
        again = [path for path in server.taken()["asked"] if "/" in path]
    numbers = tile_range([BOX[0] - 0.0006, BOX[1] - 0.0005, BOX[2] + 0.0006, BOX[3] + 0.0005], ZOOM)
    count = (numbers[1] - numbers[0] + 1) * (numbers[3] - numbers[2] + 1)
    assert len(set(asked)) == len(asked) <= count + 1
    assert len([path for path in again if not path.endswith(f"{left}/{top}.png")]) <= 1
    with rasterio.open(root / "made.utm.tif") as file:
        data, mask = file.read(), file.read_masks(1)
        place = file.transform
    # Every pixel's tile by the formulas of the tile scheme.
    rows, columns = np.mgrid[20 : data.shape[1] - 20 : 37, 20 : data.shape[2] - 20 : 37]
    east, north = place @ (columns.ravel() + 0.5, rows.ravel() + 0.5)
    lon, lat = transform("EPSG:32631", "EPSG:4326", east, north)[:2]
    seen = blank = 0
    for r, c, one, two in zip(rows.ravel(), columns.ravel(), lon, lat, strict=True):
        fx = (one + 180) / 360 * 2**ZOOM
        fy = (1 - math.asinh(math.tan(math.radians(two))) / math.pi) / 2 * 2**ZOOM
        if min(fx % 1, 1 - fx % 1, fy % 1, 1 - fy % 1) < 0.05:
            continue
        if (math.floor(fx), math.floor(fy)) == (left, top):
            assert not mask[r, c]
            blank += 1
        elif numbers[0] <= fx < numbers[1] + 1 and numbers[2] <= fy < numbers[3] + 1:
            expected = colour(math.floor(fx), math.floor(fy))
            assert mask[r, c] and np.abs(data[:, r, c] - np.array(expected)).max() <= 3
            seen += 1
    assert seen > 100 and blank > 5


def test_a_service_is_bounded_and_its_attribution_is_required():
    url = "http://127.0.0.1:9/{z}/{x}/{y}.png"
    with pytest.raises(UserError, match=r"'town': zoom 17 .* tiles over the area, more than"):
        _ = Choice(config(url, max_tiles=3)).config
    (told,) = [note for note in notes(config(url)) if "terms" in note]
    assert "Made Maps" in told and url in told
    for keys, words in (({"attribution": ""}, "needs `attribution`"), ({"zoom": 30}, "`zoom`"),
                        ({"tiles": "http://a/b.png"}, "must contain")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            config(**({"url": url} | keys)) if "tiles" not in keys else config(keys["tiles"])
