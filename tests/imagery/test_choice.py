"""The location of each strip in the committed config, with an S3 server on loopback."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from s3 import s3
from slow_proxy import slow

from witw.config import load
from witw.errors import UserError
from witw.imagery import choice
from witw.imagery.choice import Choice, record_path
from witw.spec import build

REPO = Path(__file__).parents[2]
BUCKET = "spacenet-dataset"
CONFIG = load(yaml.safe_load((REPO / "config.yaml").read_text()))
EVERY = [(aoi, strip.name) for aoi, area in CONFIG.aois.items() for strip in area.strips]
# Content of the test's bucket: some first locations, some second ones, and two strips nowhere.
THERE = {
    "rio": "AOIs/AOI_1_Rio/PS-RGB/PS-RGB_mosaic_0130222231{n}.tif",
    "vegas": "AOIs/AOI_2_Vegas/PS-RGB/15OCT22183656-S2AS_R1C{n}-056155973040_01_P001_COG.TIF",
    "paris": "AOIs/AOI_3_Paris/PS-RGB/16FEB29111912-S2AS_R01C0{n}-056155973010_01_P001.TIF",
    "shanghai": "AOIs/AOI_4_Shanghai/PS-MS/AOI_4_Shanghai_PS-MS_COG.tif",
    "khartoum": "AOIs/AOI_5_Khartoum/PS-MS/AOI_5_Khartoum_PS-MS_COG.tif",
    "moscow": "AOIs/AOI_7_Moscow/PS-RGB/R{n}.TIF",
    "mumbai": "AOIs/AOI_8_Mumbai/PS-MS/AOI_8_Mumbai_PS-MS_COG.tif",
    "dar_es_salaam": "AOIs/AOI_10_Dar_Es_Salaam/PS-MS/AOI_10_Dar_Es_Salaam_PS-MS_COG.tif",
    "rotterdam": "AOIs/AOI_11_Rotterdam/PS-RGB/SN6_AOI_11_Rotterdam_PS-RGB_TrainVal.tif",
}
ELSEWHERE = [
    "AOIs/AOI_6_Atlanta/metadata/1030010003D22F00/a.xml",
    "AOIs/AOI_9_San_Juan/PAN/a.TIF",
    "AOIs/AOI_9_San_Juan/readme.md",
]
TILES = 8


@pytest.fixture(scope="module")
def server():
    with s3() as running:
        yield running


@pytest.fixture
def bucket(server, tif, monkeypatch):
    """Make the bucket, and an environment that leads to it without a key."""
    files = dict.fromkeys(ELSEWHERE, b"text")
    for aoi, key in THERE.items():
        west, _, _, north = CONFIG.aois[aoi].bbox_deg
        bands = 3 if "RGB" in key else 8
        data = np.arange(bands * 400, dtype="u2").reshape(bands, 20, 20)
        for n in range(TILES if "{n}" in key else 1):
            place = (west + n * 20e-5, 1e-5, 0, north, 0, -1e-5)
            path = tif(f"{aoi}.tif", data, place, epsg=4326, nodata=0)
            files[key.format(n=n)] = Path(path).read_bytes()
    server.strict(False)
    server.fill(BUCKET, files, "public-read")
    for name in [name for name in os.environ if name.startswith(("AWS_", "FLICKR_"))]:
        monkeypatch.delenv(name)
    options = {"AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE", "HOME": str(Path.cwd())}
    for name, value in (options | {"AWS_S3_ENDPOINT": server.endpoint}).items():
        monkeypatch.setenv(name, value)
    return server


def strip_path(config, aoi):
    (strip,) = config.aois[aoi].strips
    return strip.path


def test_all_strips_of_all_areas_are_checked_in_parallel(bucket, monkeypatch):
    with slow(bucket.endpoint, 0.2) as (endpoint, together):
        monkeypatch.setenv("AWS_S3_ENDPOINT", endpoint)
        with pytest.raises(UserError) as caught:
            Choice(CONFIG).check(EVERY)
    assert len(together) >= len(EVERY)
    assert max(together) >= len(EVERY) / 2
    head, *told = str(caught.value).splitlines()
    # Missing strips are named, with every location and the other files there; no others are named.
    assert head == "2 strips cannot be used."
    atlanta, san_juan = sorted(told)
    assert "Area 'atlanta': strip nadir7 is in none of its 2 locations" in atlanta
    assert "s3://spacenet-dataset/AOIs/AOI_6_Atlanta/ holds metadata/" in atlanta
    assert "PS-MS/AOI_9_San_Juan_PS-MS_COG.tif: there is no such file" in san_juan
    assert "PS-RGB/*.TIF: no file matches" in san_juan
    assert "s3://spacenet-dataset/AOIs/AOI_9_San_Juan/ holds PAN/ and readme.md" in san_juan


def test_the_first_existing_location_is_used_and_recorded(bucket):
    config = Choice(CONFIG).config
    for aoi, key in THERE.items():
        path = strip_path(config, aoi)
        star = key.partition("{n}")[0].rpartition("/")[0] if "{n}" in key else key
        assert path.startswith(f"s3://{BUCKET}/{star}")
        if len(CONFIG.aois[aoi].strips[0].sources()) > 1:
            record = record_path(aoi, config.aois[aoi].strips[0].name)
            assert json.loads(record.read_text()) == {"path": path}
    # Each place has its own bands.
    bands = {
        aoi: json.loads(build(config, "stats", aoi, config.aois[aoi].strips[0].name))["strip"][
            "bands"
        ]
        for aoi in ("paris", "mumbai", "rotterdam")
    }
    assert bands == {"paris": [1, 2, 3], "mumbai": [5, 3, 2], "rotterdam": [1, 2, 3]}
    assert not record_path("atlanta", "nadir7").exists()


def specs(chosen):
    return {name: build(chosen.config, "utm", *name) for name in EVERY}


def test_a_recorded_location_keeps_the_spec(bucket, monkeypatch):
    before = specs(Choice(CONFIG))
    # A preferred location appears: nothing changes.
    body = bucket.ask("GET", f"{BUCKET}/{THERE['rotterdam']}")
    better = "AOIs/AOI_2_Vegas/PS-MS/AOI_2_Vegas_PS-MS_COG.tif"
    bucket.ask("PUT", f"{BUCKET}/{better}", body, **{"x-amz-acl": "public-read"})
    assert specs(Choice(CONFIG)) == before
    # The server is down: nothing changes either, and recorded locations are not requested.
    monkeypatch.setenv("AWS_S3_ENDPOINT", "127.0.0.1:9")
    assert specs(Choice(CONFIG)) == before
    # Without its record the strip is looked up again, and only this strip changes.
    monkeypatch.setenv("AWS_S3_ENDPOINT", bucket.endpoint)
    record_path("vegas", "aoi_2_vegas_ps_ms_cog").unlink()
    after = specs(Choice(CONFIG))
    bucket.ask("DELETE", f"{BUCKET}/{better}")
    assert [name[0] for name in EVERY if after[name] != before[name]] == ["vegas"]


def test_a_server_in_trouble_decides_nothing(bucket, monkeypatch):
    """The first location is not skipped while its server is down."""
    monkeypatch.setenv("AWS_S3_ENDPOINT", "127.0.0.1:9")
    chosen = Choice(CONFIG)
    assert not list(Path().glob("results/*/strips/*"))
    unsure = chosen.check(EVERY)
    assert len(unsure) == len(EVERY) and all("cannot be reached" in told for told in unsure)
    assert not list(Path().glob("results/*/strips/*"))


def test_a_faulty_location_is_reported_and_not_skipped(tif):
    one = tif("a.tif", np.ones((1, 10, 10), "u2"), (3, 1e-5, 0, 36.1, 0, -1e-5), epsg=4326)
    tif("b.tif", np.ones((3, 10, 10), "u2"), (3, 1e-5, 0, 36.1, 0, -1e-5), epsg=4326)
    area = {
        "bbox_deg": [2.9, 36.0, 3.1, 36.2],
        "bands": [1, 2, 3],
        "strips": [{"path": [one, "b.tif"]}],
    }
    config = load({"aois": {"town": area}})
    with pytest.raises(UserError, match=r"a\.tif has 1 band"):
        Choice(config).check([("town", "a")])


def test_a_strip_in_the_box_of_a_shape_but_not_at_it_is_refused(tif):
    data = np.ones((3, 10, 10), "u2")
    tif("in.tif", data, (3.02, 1e-5, 0, 36.02, 0, -1e-5), epsg=4326)
    tif("out.tif", data, (3.09, 1e-5, 0, 36.09, 0, -1e-5), epsg=4326)
    # The lower left half of a box; chips still show something of a strip 80 m beyond its edge.
    corner = [[3.0, 36.0], [3.1, 36.0], [3.0, 36.1]]
    tif("edge.tif", data, (3.0505, 1e-5, 0, 36.0505, 0, -1e-5), epsg=4326)
    strips = ["in.tif", "out.tif", "edge.tif"]
    config = load({"aois": {"town": {"area": corner, "bands": [1, 2, 3], "strips": strips}}})
    with pytest.raises(UserError, match=r"out\.tif lies outside the area.*`area`") as caught:
        Choice(config).check([("town", name) for name in ("in", "out", "edge")])
    assert "in.tif" not in str(caught.value) and "edge.tif" not in str(caught.value)


def test_local_locations_are_chosen_without_a_check(tif, monkeypatch):
    monkeypatch.setattr(choice, "looked", None)
    tif("b.tif", np.ones((3, 10, 10), "u2"), (3, 1e-5, 0, 36.1, 0, -1e-5), epsg=4326)
    area = {"bbox_deg": [2.9, 36.0, 3.1, 36.2], "strips": [{"path": ["a.tif", "b.tif"]}]}
    config = load({"aois": {"town": area}})
    assert strip_path(Choice(config, is_kept=False).config, "town") == "b.tif"
    assert not Path("results").exists()
    assert strip_path(Choice(config).config, "town") == "b.tif"
    tif("a.tif", np.ones((3, 10, 10), "u2"), (3, 1e-5, 0, 36.1, 0, -1e-5), epsg=4326)
    assert strip_path(Choice(config).config, "town") == "b.tif"
