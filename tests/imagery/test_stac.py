"""Strips from a STAC API on loopback, through pystac-client and over HTTP."""

import json
from pathlib import Path

import numpy as np
import pytest
from servers import ranges
from stac_server import item, serving

from witw.config import load
from witw.errors import UserError
from witw.imagery.choice import Choice, record_path
from witw.imagery.strip import look, source
from witw.spec import build

BOX = [2.9, 36.0, 3.1, 36.2]
NAMES = ("old", "new", "cloudy", "away", "other")


@pytest.fixture
def stac(tif):
    """Serve items of four rasters in the area and one elsewhere; yield address and requests."""
    for number, name in enumerate(NAMES):
        data = np.full((3, 40, 40), 100 + number, "u2")
        data[:, ::2] += 50
        place = (3.0, 1e-5, 0, 36.1, 0, -1e-5)
        tif(f"served/{name}.tif", data, place, epsg=4326)
    here, away = (3.0, 36.0999, 3.0004, 36.1), (5.0, 36.0, 5.1, 36.1)
    with ranges("served") as files:
        items = [
            item("old", here, "2020-01-01T00:00:00Z", f"{files.url}/old.tif"),
            item("New.1", here, "2022-01-01T00:00:00Z", f"{files.url}/new.tif", 5),
            item("cloudy", here, "2023-01-01T00:00:00Z", f"{files.url}/cloudy.tif", 90),
            item("away", away, "2022-01-01T00:00:00Z", f"{files.url}/away.tif"),
            item("other", here, "2022-01-01T00:00:00Z", f"{files.url}/other.tif", 0, "radar"),
        ]
        with serving(items) as (url, asked):
            yield url, asked


def config(url, **keys):
    strip = {"stac": url, "collection": "made", **keys}
    return load(
        {"aois": {"town": {"bbox_deg": BOX, "bands": [1, 2, 3], "strips": [strip, "a.tif"]}}}
    )


def strips(chosen):
    return {s.name: s.path.rpartition("/")[2] for s in chosen.config.aois["town"].strips}


def test_each_item_in_the_area_is_a_strip_the_newest_on_top(stac, tif):
    url, asked = stac
    found = strips(Choice(config(url), is_kept=False))
    assert found == {
        "made_cloudy": "cloudy.tif", "made_new_1": "new.tif", "made_old": "old.tif", "a": "a.tif",
    }  # fmt: skip
    assert list(found)[:3] == ["made_cloudy", "made_new_1", "made_old"]
    assert len(asked) == 2  # two pages
    assert not Path("results").exists()
    few = {"max_cloud_pct": 20, "datetime": "2021-01-01T00:00:00Z/2023-12-31T00:00:00Z"}
    assert list(strips(Choice(config(url, **few), is_kept=False))) == ["made_new_1", "a"]
    named = strips(Choice(config(url, items=["away"], name="one"), is_kept=False))
    assert list(named) == ["one_away", "a"]
    one = config(f"{url}/items/old.json", collection="", name="single")
    assert list(strips(Choice(one, is_kept=False))) == ["single_old", "a"]


def test_found_items_are_recorded_and_keep_their_specs(stac):
    url, asked = stac
    first = Choice(config(url)).config
    told = json.loads(record_path("town", "made").read_text())
    assert [one["name"] for one in told["items"]] == ["made_cloudy", "made_new_1", "made_old"]
    before = build(first, "stats", "town", "made_old"), build(first, "mosaic", "town")
    asked.clear()
    again = Choice(config(url)).config
    assert (build(again, "stats", "town", "made_old"), build(again, "mosaic", "town")) == before
    assert asked == []
    # A different search queries the STAC again.
    assert list(strips(Choice(config(url, max_cloud_pct=20)))) == ["made_new_1", "made_old", "a"]
    assert asked


def test_the_rasters_of_items_are_checked_and_read(stac):
    url, _ = stac
    chosen = Choice(config(url, max_cloud_pct=20))
    names = [("town", name) for name in ("made_new_1", "made_old")]
    assert chosen.check(names) == []
    spec = json.loads(build(chosen.config, "stats", "town", "made_old"))
    assert look.check(spec).size == (40, 40)
    assert source.load("town", spec["strip"]).dtype == "UInt16"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"collection": "none"}, "no such item in the area"),
        ({"asset": "B04"}, r"has no asset 'B04'; its assets are visual, thumb"),
        ({"max_items": 2}, "more than 2 items lie in the area"),
        ({"stac": "http://127.0.0.1:9"}, "yields no strips"),
    ],
)
def test_a_stac_without_a_result_gives_one_sentence(stac, keys, words):
    url, _ = stac
    with pytest.raises(UserError, match=words) as caught:
        _ = Choice(config(keys.pop("stac", url), **keys)).config
    assert "Area 'town': the STAC http://127.0.0.1" in str(caught.value)
    assert "\n" not in str(caught.value)
