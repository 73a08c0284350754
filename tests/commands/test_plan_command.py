"""`witw plan` against the Flickr stand-in, over HTTP and through flickrapi."""

import io
import json
import math
import socket

import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from PIL import Image
from pyproj import Geod
from rasterio.transform import from_bounds

from witw import __main__, tables
from witw.commands import estimate, plan, run_plan
from witw.demo.fake_flickr.server import CatalogPhoto, Faults, FlickrServer
from witw.errors import UserError
from witw.settings.chips import Chips
from witw.settings.search import Search

KEY = "0123456789abcdef0123456789abcdef"
OSLO = [10.7, 59.9, 10.8, 59.95]
BERN = [7.4, 46.9, 7.5, 46.97]


def catalog():
    """Return 300 open photos and one reserved photo in Oslo, two in Bern, one between them."""
    places = [(10.75, 59.92, 4)] * 300 + [(10.75, 59.92, 0), (7.45, 46.95, 9), (7.41, 46.91, 2)]
    places += [(9.0, 50.0, 4)]
    return [
        CatalogPhoto(
            id=str(50_000_000_000 + number),
            owner=f"{number % 7:08d}@N00",
            owner_name="someone",
            title="",
            lat=lat,
            lon=lon,
            accuracy=16,
            license_id=license_id,
            date_upload=1_400_000_000 + number,
            date_taken="2019-05-16 12:16:36",
            secret=f"{number:010x}",
            server="65535",
        )
        for number, (lon, lat, license_id) in enumerate(places)
    ]


@pytest.fixture(scope="module")
def server():
    with FlickrServer(catalog(), lambda _: None, key=KEY) as running:
        yield running


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a run folder with only the config; the test runs in another folder."""
    monkeypatch.setenv("FLICKR_API_KEY", KEY)
    monkeypatch.delenv("FLICKR_API_SECRET", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    elsewhere, run_dir = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    run_dir.mkdir()
    monkeypatch.chdir(elsewhere)
    return run_dir


def configure(path, url, **flickr):
    config = {
        "flickr": {"api_url": url, "photo_hosts": ["127.0.0.1"], **flickr},
        "aois": {
            "oslo": {"bbox_deg": OSLO, "strips": ["a.tif"], "chips": {"jpeg_quality": 90}},
            "bern": {"bbox_deg": BERN, "strips": ["b.tif"]},
        },
    }
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def planned(capsys, folder, *args):
    __main__.run(["plan", "--directory", str(folder), "--json", *args])
    return json.loads(capsys.readouterr().out)


def test_one_call_per_area_counts_its_photos(server, folder, capsys):
    configure(folder / "config.yaml", server.api_url)
    before = len(server.calls)
    told = planned(capsys, folder)
    assert [(row["aoi"], row["photos"]) for row in told["rows"]] == [("oslo", 300), ("bern", 2)]
    assert [call.name for call in server.calls[before:]] == ["flickr.photos.search"] * 2
    assert told["total"]["photos"] == 302
    assert {path.name for path in folder.iterdir()} == {"config.yaml"}


def test_areas_come_in_the_order_of_the_config(server, folder, capsys):
    configure(folder / "config.yaml", server.api_url)
    before = len(server.calls)
    assert [row["aoi"] for row in planned(capsys, folder, "bern", "oslo")["rows"]] == [
        "oslo",
        "bern",
    ]
    assert [row["aoi"] for row in planned(capsys, folder, "bern")["rows"]] == ["bern"]
    assert len(server.calls) == before + 3


def test_hours_follow_from_the_quota(server, folder, capsys):
    configure(folder / "config.yaml", server.api_url, calls_per_hour=60)
    told = planned(capsys, folder)
    assert told["calls_per_hour"] == 60
    for row in told["rows"]:
        assert row["hours"] == row["calls"] / 60


def test_a_config_path_is_relative_to_the_working_folder(server, folder, capsys):
    configure(folder.parent / "elsewhere" / "mine.yaml", server.api_url)
    assert len(planned(capsys, folder, "--configfile", "mine.yaml")["rows"]) == 2


def jpeg(side):
    body = io.BytesIO()
    Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(body, "JPEG")
    return body.getvalue()


def fetched(folder, sizes):
    """Pretend that Oslo's photos of these sizes were fetched, and that one is gone."""
    rows = [{"id": str(n), "status": "ok", "bytes": size} for n, size in enumerate(sizes)]
    rows += [{"id": "99", "status": "gone", "bytes": None}]
    frame = pd.DataFrame(rows).reindex(columns=list(tables.DOWNLOADS))
    path = folder / "results/oslo/photos/0000.parquet"
    path.parent.mkdir(parents=True)
    tables.write(path, "downloads", frame)


def test_existing_photos_are_measured_and_counted(server, folder, capsys):
    configure(folder / "config.yaml", server.api_url)
    fetched(folder, [1000, 3000])
    for name in ("photos/oslo/01/1.jpg", "results/oslo/chips/0000/1.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(jpeg(16))
    told = planned(capsys, folder)
    oslo, bern = told["rows"]
    assert (told["bytes_per_photo"], told["measured_on"]) == (2000, 2)
    assert (oslo["photo_bytes"], bern["photo_bytes"]) == (300 * 2000, 2 * 2000)
    size = len(jpeg(16))
    assert (oslo["stored"], oslo["stored_bytes"]) == (1, size)
    assert (oslo["cut"], oslo["cut_bytes"]) == (1, size)
    assert (bern["stored"], bern["cut"]) == (0, 0)
    assert told["missing_bytes"] == sum(
        row["photo_bytes"] + row["chip_bytes"] - row["stored_bytes"] - row["cut_bytes"]
        for row in told["rows"]
    )


def raster(path, box, side):
    """Write an 8-band raster of a box, uncompressed."""
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=8, dtype="uint16",
        crs="EPSG:4326", transform=from_bounds(*box, side, side),
    ) as file:  # fmt: skip
        file.write(np.ones((8, side, side), "uint16"))


def test_imagery_is_counted_before_the_disk_is_judged(server, folder, capsys):
    configure(folder / "config.yaml", server.api_url)
    box = (10.7, 59.9, 10.71, 59.905)
    raster(folder / "a.tif", box, 50)
    told = planned(capsys, folder)["imagery"]
    # 558 m x 556 m by PROJ's geodesics, in pixels of 0.3 m.
    wide = Geod(ellps="WGS84").inv(10.7, 59.9025, 10.71, 59.9025)[2]
    high = Geod(ellps="WGS84").inv(10.7, 59.9, 10.7, 59.905)[2]
    assert told["utm_bytes"] == pytest.approx(1.8 * wide * high / 0.09, rel=0.02)
    assert told["local_bytes"] == (folder / "a.tif").stat().st_size
    assert (told["strips"], told["remote_bytes"]) == (2, 0)
    # b.tif is missing: the message says so, and everything else is still reported.
    assert len(told["told"]) == 1 and "'bern': strip file b.tif cannot be read" in told["told"][0]
    __main__.run(["plan", "--directory", str(folder)])
    text = capsys.readouterr().out
    assert "UNUSABLE and not counted: 1 of 2 strips" in text and "b.tif" in text
    assert text.index("UNUSABLE") < text.index("Disk: ")
    # Existing files need not be written again.
    (folder / "results/oslo/strips").mkdir(parents=True)
    before = planned(capsys, folder)["missing_bytes"]
    (folder / "results/oslo/strips/a.utm.tif").write_bytes(b"x" * 100_000)
    assert planned(capsys, folder)["missing_bytes"] == before - 100_000


def test_without_tables_a_photo_has_the_usual_size(server, folder, capsys):
    configure(folder / "config.yaml", server.api_url)
    told = planned(capsys, folder)
    assert (told["bytes_per_photo"], told["measured_on"]) == (estimate.PHOTO_BYTES, 0)


def test_a_finished_and_an_unfinished_search_are_reported(server, folder, capsys):
    configure(folder / "config.yaml", server.api_url)
    rows = pd.DataFrame([{"id": str(n), "is_gone": n == 0} for n in range(5)])
    (folder / "results/oslo").mkdir(parents=True)
    tables.write(
        folder / "results/oslo/photos.parquet",
        "photos",
        rows.reindex(columns=list(tables.PHOTOS)),
    )
    (folder / "journal").mkdir()
    (folder / "journal/bern.sqlite").touch()
    oslo, bern = planned(capsys, folder)["rows"]
    assert (oslo["listed"], oslo["is_begun"]) == (4, False)
    assert (bern["listed"], bern["is_begun"]) == (None, True)
    __main__.run(["plan", "--directory", str(folder)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("oslo") and lines[1].endswith("finished")
    assert lines[2].startswith("bern") and lines[2].endswith("begun")


def test_the_table_is_aligned_and_explains_its_figures(server, folder, capsys):
    configure(folder / "config.yaml", server.api_url)
    __main__.run(["plan", "--directory", str(folder)])
    head, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[:3]] == ["oslo", "bern", "total"]
    end = head.index("photos") + len("photos")
    assert [row[:end].split()[1] for row in rows[:3]] == ["300", "2", "302"]
    notes = "\n".join(rows[3:])
    assert "138 kB" in notes and "3,600 calls an" in notes and "which is enough" in notes


def test_the_hours_of_a_slow_photo_host_are_reported(server, folder, capsys):
    """302 photos are missing: 0.84 h at one per 10 s."""
    configure(folder / "config.yaml", server.api_url)
    hours = planned(capsys, folder)["download_hours"]
    assert list(hours) == ["1 in 10 s", "1 in 3 s", "10/s", "100/s"]
    assert hours["1 in 10 s"] == pytest.approx(302 * 10 / 3600)
    assert hours["1 in 3 s"] == pytest.approx(302 * 3 / 3600)
    __main__.run(["plan", "--directory", str(folder)])
    assert "0.839 h at 1 in 10 s, 0.252 h at 1 in 3 s" in capsys.readouterr().out


def test_too_small_a_disk_is_reported():
    row = run_plan.Row("oslo", 9, 1, 0.1, 5_000, 7_000, 0, 0, 0, 0, None, False)
    small, large = (
        plan.text(run_plan.RunPlan([row], 1, 0, free, 3600)) for free in (11_999, 12_001)
    )
    assert "NOT ENOUGH" in small
    assert "NOT ENOUGH" not in large


@pytest.mark.parametrize(
    ("key", "words"), [("", "FLICKR_API_KEY is not set"), ("wrong", "does not accept")]
)
def test_an_unusable_key_gives_one_sentence(server, folder, monkeypatch, capsys, key, words):
    configure(folder / "config.yaml", server.api_url)
    monkeypatch.setenv("FLICKR_API_KEY", key)
    with pytest.raises(UserError, match=words) as error:
        __main__.run(["plan", "--directory", str(folder)])
    assert "\n" not in str(error.value)
    assert "wrong" not in str(error.value)
    # Figures that need no key are still reported.
    assert capsys.readouterr().out.startswith("Imagery: 2 strips; ")


def test_a_key_in_the_run_folders_env_file_is_used(server, folder, monkeypatch, capsys):
    configure(folder / "config.yaml", server.api_url)
    # Set and removed, so that the test undoes the file's setting.
    monkeypatch.setenv("FLICKR_API_KEY", "")
    monkeypatch.delenv("FLICKR_API_KEY")
    (folder / ".env").write_text(f"FLICKR_API_KEY={KEY}\n")
    assert planned(capsys, folder)["total"]["photos"] == 302


def test_a_service_that_does_not_answer_is_one_sentence(folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    configure(folder / "config.yaml", f"http://127.0.0.1:{port}/services/rest/")
    monkeypatch.setattr(plan, "TRIES", 2)
    with pytest.raises(UserError, match=r"did not answer .* in 2 tries") as error:
        __main__.run(["plan", "--directory", str(folder)])
    assert "\n" not in str(error.value)


def test_a_service_with_passing_faults_is_called_again(folder, capsys):
    with FlickrServer(catalog(), lambda _: None, faults=Faults(seed=1, api_503=1, most=1)) as one:
        configure(folder / "config.yaml", one.api_url)
        assert planned(capsys, folder)["total"]["photos"] == 302
        assert len(one.calls) == 4


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["plan", "rom"], "no area 'rom'; its areas are oslo, bern"),
        (["plan", "--configfile", "none.yaml"], "none.yaml does not exist"),
        (["plan", "--directory", "nowhere"], "nowhere: No such file"),
    ],
)
def test_a_missing_name_is_reported(server, folder, monkeypatch, args, words):
    configure(folder / "config.yaml", server.api_url)
    monkeypatch.chdir(folder)
    before = len(server.calls)
    with pytest.raises(UserError, match=words):
        __main__.run(args)
    assert len(server.calls) == before


@pytest.mark.parametrize("text", ["aois: [", "- a\n", "", "aois: {oslo: {bbox: 1}}"])
def test_an_invalid_config_gives_one_sentence(folder, text):
    (folder / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml") as error:
        __main__.run(["plan", "--directory", str(folder)])
    assert "\n" not in str(error.value)


def test_more_photos_sweeps_and_audits_take_more_calls():
    bare = Search(audit=0)
    assert estimate.calls(0, bare) < 5
    least = 100_000 / 250
    assert 1.0 * least <= estimate.calls(100_000, bare) <= 1.05 * least
    assert estimate.calls(100_000, Search()) >= 1.04 * least * 1.05
    twice = Search(audit=0, sweeps=2)
    assert estimate.calls(100_000, twice) == pytest.approx(
        2 * estimate.calls(100_000, bare), rel=0.01
    )


@pytest.mark.parametrize(
    ("quality", "subsampling", "kib"),
    [(90, "4:4:4", 139), (95, "4:4:4", 209), (75, "4:2:0", 66), (90, "4:2:0", 108)],
)
def test_chips_have_the_measured_sizes(quality, subsampling, kib):
    chips = Chips(jpeg_quality=quality, subsampling=subsampling)
    assert estimate.chip_bytes(chips) == pytest.approx(kib * 1024, rel=0.001)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_chips_grow_with_quality_and_area(subsampling):
    sizes = [
        estimate.chip_bytes(Chips(jpeg_quality=quality, subsampling=subsampling))
        for quality in range(1, 101)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] > 0 and math.isfinite(sizes[-1])
    half = estimate.chip_bytes(Chips(size_px=375, jpeg_quality=50, subsampling=subsampling))
    assert half == pytest.approx(sizes[49] / 4, rel=0.01)


def test_pack_and_training_are_counted_if_a_network_is_trained(server, folder, capsys):
    configure(folder / "config.yaml", server.api_url)
    assert planned(capsys, folder)["training"] is None  # no area is for validation or the test
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["aois"]["bern"]["split"] = "val"
    config["aois"]["lima"] = {"bbox_deg": [0, 0, 0.1, 0.1], "strips": ["c.tif"], "split": "test"}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    told = planned(capsys, folder)
    found = told["training"]
    assert found["pairs"] == 300
    assert found["pack_bytes"] == pytest.approx(0.49 * 2 * 256**2 * told["total"]["photos"])
    assert 0 < found["hours"] < 1
    __main__.run(["plan", "--directory", str(folder)])
    text = capsys.readouterr().out
    assert "Training: small, from scratch; 30 epochs of at most 300 pairs" in text
    assert "rasters and packed pairs" in text
