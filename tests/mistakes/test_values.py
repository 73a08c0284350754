"""Values of the config that read as something else than their author meant."""

import json
import math

import pytest

from witw.config import load
from witw.errors import UserError
from witw.mistakes import yaml_files

BOX = "[10.7, 59.9, 10.8, 59.95]"
MINE = f"aois:\n  oslo:\n    bbox_deg: {BOX}\n    strips: [oslo.tif]\n"
RING = [[10.7, 59.9], [10.8, 59.9], [10.8, 59.95], [10.7, 59.95], [10.7, 59.9]]
METRES = [[595000, 6640000], [600000, 6640000], [600000, 6645000], [595000, 6640000]]


def read(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load(yaml_files.read(path), "mine.yaml").aois["oslo"]


def complaint(tmp_path, text):
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    told = str(caught.value)
    assert "mine.yaml" in told and "\n" not in told
    return told


def with_key(line):
    return f"{MINE}    {line}\n"


def with_box(box):
    return MINE.replace(BOX, box)


def with_area(area):
    return MINE.replace(f"bbox_deg: {BOX}", f"area: {area}")


VALUES = {
    "a box without a number": (with_box("[.nan, 59.9, 10.8, 59.95]"), ["`bbox_deg`", "finite"]),
    "a box in metres": (with_box("[595000, 6640000, 600000, 6645000]"), ["metres", "EPSG:4326"]),
    "a box as west, east, south, north": (
        with_box("[10.7, 10.8, 59.9, 59.95]"), ["west, south, east, north", BOX]
    ),
    "an empty area": (with_area("[]"), ["'oslo'", "`area` is empty"]),
    "an area of empty text": (with_area('""'), ["'oslo'", "`area` is empty"]),
    "corners of text": (with_area("[[a, b], [c, d], [e, f]]"), ["`area` is not a shape"]),
    "corners in metres": (with_area(METRES), ["`area`", "metres", "EPSG:4326"]),
    "degrees as a CRS": (with_key("epsg: 4326"), ["`epsg` 4326", "not a UTM zone", "32632"]),
    "Mercator as a CRS": (with_key("epsg: 3857"), ["`epsg` 3857", "not a UTM zone", "32632"]),
    "a CRS that is none": (with_key("epsg: 99999"), ["`epsg` 99999", "32632"]),
    "a zone of Australia": (with_key("epsg: 32755"), ["zone 55S", "147", "10.8", "32632"]),
    "yes for a number": (with_key("shards: yes"), ["`shards`", "true", "a number"]),
    "no for nodata": (with_key("nodata: no"), ["`nodata`", "false", "a number"]),
    "an unknown word for nodata": (
        with_key("nodata: None"), ["`nodata`", "'None'", "a number, 'auto' or 'none'"]
    ),
    "no value for nodata": (with_key("nodata:"), ["`nodata`", "empty", "'auto' or 'none'"]),
    "a buffer beyond the area": (with_key("buffer_m: 1.0e+9"), ["`buffer_m`", "100000"]),
    "an endless buffer": (with_key("buffer_m: .inf"), ["`buffer_m`", "finite"]),
    "pixels of a nanometre": (with_key("utm: {gsd_m: 1.0e-9}"), ["`utm.gsd_m`", "0.01"]),
    "endless pixels": (with_key("utm: {gsd_m: .inf}"), ["`utm.gsd_m`", "finite"]),
    "a chip of gigapixels": (with_key("chips: {size_px: 1000000}"), ["`chips.size_px`", "16384"]),
    "a year for a snapshot": (with_key("search: {snapshot: 2024}"), ["`search.snapshot`", "1970"]),
    "a word for a snapshot": (
        with_key("search: {snapshot: today}"), ["`search.snapshot`", "'today'", "2026-11-01"]
    ),
    "a year for a day": (with_key("pairs: {taken_from: 2024}"), ["2024", "a day", "2026-11-01"]),
    "days in the wrong order": (
        with_key("pairs: {taken_from: 2024-06-01, taken_until: 2023-01-01}"),
        ["`taken_from` 2024-06-01 is after `taken_until` 2023-01-01"],
    ),
    "no strips": (MINE.replace("[oslo.tif]", "[]"), ["`strips`", "at least one", "[imagery/"]),
    "a long name of an area": (MINE.replace("oslo:", "o" * 101 + ":"), ["at most 100"]),
    "a long name of a strip": (
        MINE.replace("oslo.tif", "a" * 101 + ".tif"), ["`strips`", "at most 100"]
    ),
    "a broken address": (f"flickr: {{api_url: 'http://[::1'}}\n{MINE}", ["`flickr.api_url`"]),
    "capitals": (MINE.replace("aois", "AOIS"), ["`AOIS` should be `aois`"]),
    "a no-break space": (
        MINE.replace("bbox_deg: ", "bbox_deg:\N{NO-BREAK SPACE}"), ["line 3", "no-break space"]
    ),
    "no space behind a colon": (
        MINE.replace("bbox_deg: ", "bbox_deg:"), ["line 3", "space is missing after the colon"]
    ),
    "a key twice in JSON": (
        '{\n\t"aois": {"oslo": {"bbox_deg": [1, 1, 2, 2], "bbox_deg": [3, 3, 4, 4]}}}',
        ["`bbox_deg` is there twice"],
    ),
    "a million brackets": ("[" * 5000 + "]" * 5000, ["nest too deeply"]),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_cannot_be_meant_gives_one_sentence(tmp_path, name):
    text, words = VALUES[name]
    told = complaint(tmp_path, text)
    assert not [word for word in words if word not in told], told


def test_a_file_of_polygons_is_explained(tmp_path, monkeypatch, recwarn):
    monkeypatch.chdir(tmp_path)
    files = {
        "open.geojson": (json.dumps({"type": "Polygon", "coordinates": [RING[:-1]]}), "not closed"),
        "metres.geojson": (json.dumps({"type": "Polygon", "coordinates": [METRES]}), "metres"),
        "page.geojson": ("<html>", "file format."),
    }
    for name, (text, words) in files.items():
        (tmp_path / name).write_text(text)
        assert words in complaint(tmp_path, with_area(name)), name
    (tmp_path / "folder.gdb").mkdir()
    assert "`area` folder.gdb is a folder" in complaint(tmp_path, with_area("folder.gdb"))
    assert not [one for one in recwarn if one.category is RuntimeWarning]


def test_values_beside_these_mistakes_are_accepted(tmp_path):
    """Another datum, a zone beside its own, a large box, and nodata that is no number."""
    assert read(tmp_path, with_key("epsg: 25832")).utm_epsg == 25832
    assert read(tmp_path, with_key("epsg: 32633")).utm_epsg == 32633
    assert read(tmp_path, with_key("epsg: 32635")).utm_epsg == 32635  # lengths are right to 1.0 %
    assert read(tmp_path, with_box("[5, 58, 31, 71]")).bbox_deg == (5, 58, 31, 71)
    assert math.isnan(read(tmp_path, with_key("nodata: .nan")).nodata)
    assert read(tmp_path, with_key("nodata: '0'")).nodata == 0
    assert read(tmp_path, with_key("pairs: {commercial_use: yes}")).pairs.commercial_use
    day = read(tmp_path, with_key("search: {snapshot: 2025-01-31}")).search.snapshot
    assert f"{day:%Y-%m-%d}" == "2025-01-31"


def test_a_zone_beyond_the_180th_meridian_is_near(tmp_path):
    text = with_box("[179.9, -17, -179.9, -16]").replace("strips", "epsg: 32701\n    strips")
    assert read(tmp_path, text).utm_epsg == 32701
