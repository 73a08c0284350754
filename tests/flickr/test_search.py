"""The stage against the Flickr stand-in, over HTTP and through flickrapi."""

import json
import logging
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from witw import files, forgotten, tables
from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.server import CatalogPhoto, Faults, FlickrServer
from witw.errors import UserError
from witw.flickr import search
from witw.flickr.api.client import Client
from witw.flickr.crawl.journal import Journal
from witw.flickr.total import total_of
from witw.ground import shapes

KEY = "0123456789abcdef0123456789abcdef"
SECRET = "fedcba9876543210"
BBOX = (32.4191484, 15.4365912, 32.5687824, 15.8719878)
SNAPSHOT = 1_750_000_000
OPEN = (1, 2, 4, 5, 9, 11, 16)
TITLES = ("Čaj", "", "<b>&amp;</b>", "写真 📷", "x" * 300)


def photo(number, lon, lat, upload, license_id=4, **changes):
    return CatalogPhoto(
        id=str(50_000_000_000 + number),
        owner=f"{number % 97:08d}@N00",
        owner_name=f"owner {number % 97}",
        title=TITLES[number % len(TITLES)],
        lat=lat,
        lon=lon,
        accuracy=16 - number % 5,
        license_id=license_id,
        date_upload=upload,
        date_taken="2019-05-16 12:16:36",
        secret=f"{number:010x}",
        server="65535",
        has_url=number % 3 > 0,
        **changes,
    )


def catalog(count, pin=0, second=0, seed=0):
    """Return photos, ``pin`` at one point and ``second`` of one second; a third do not belong."""
    rng = np.random.default_rng(seed)
    west, south, east, north = BBOX
    lon = np.round(rng.uniform(west - 0.02, east + 0.02, count), 6)
    lat = np.round(rng.normal((south + north) / 2, (north - south) / 8, count), 6)
    upload = rng.integers(1_100_000_000, SNAPSHOT + 20_000_000, count)
    licenses = rng.choice([*OPEN, 0, 3], count)
    lon[:pin], lat[:pin] = 32.53251, 15.60313
    upload[-second or count :] = 1_400_000_000
    columns = (range(count), lon.tolist(), lat.tolist(), upload.tolist(), licenses.tolist())
    return [photo(*row) for row in zip(*columns, strict=True)]


def wanted(photos):
    west, south, east, north = BBOX
    return {
        p.id
        for p in photos
        if west <= p.lon <= east
        and south <= p.lat <= north
        and p.license_id in OPEN
        and p.date_upload <= SNAPSHOT
    }


def spec_of(server, **settings):
    return {
        "stage": "search",
        "version": 1,
        "aoi": "khartoum",
        "bbox_deg": list(BBOX),
        "flickr": {"api_url": server.api_url, "photo_hosts": [server.photo_host]},
        "search": {
            "snapshot": "2025-06-15T15:06:40Z",
            "licenses": list(OPEN),
            "box_total": 20_000,
            "audit": 0.05,
            **settings,
        },
        "forgotten": "",
    }


def serve(photos, **options):
    return FlickrServer(photos, lambda _: None, key=KEY, secret=SECRET, **options)


@pytest.fixture(autouse=True)
def in_a_run_folder(tmp_path, monkeypatch):
    """Journals and the list of what is forgotten lie in the run folder."""
    monkeypatch.chdir(tmp_path)


def run(spec, client, name="run", workers=4):
    url, snapshot = spec["flickr"]["api_url"], spec["search"]["snapshot"]
    with Journal(Path(name) / "journal.sqlite", url, snapshot) as journal:
        return search.run(spec, client, journal, workers)


def searched(tmp_path, server, name="run", secret=SECRET, workers=4, **settings):
    client = Client(server.api_url, KEY, secret, pause_s=0.01)
    found = run(spec_of(server, **settings), client, name, workers)
    folder = tmp_path / name
    files.write_json(folder / "search.json", found.summary)
    return (
        tables.write(folder / "photos.parquet", "photos", found.photos),
        tables.write(folder / "cells.parquet", "cells", found.cells),
        client,
    )


def summary(tmp_path, name="run"):
    return json.loads((tmp_path / name / "search.json").read_text())


def assert_adds_up(photos, cells):
    assert cells["listed"].sum() == len(photos)
    listed = Counter(photos["cell"])
    assert all(listed[row.cell] == row.listed for row in cells.itertuples())
    assert cells["unreachable"].sum() == 0


@pytest.mark.parametrize("past_cap", ["repeat", "error20"])
def test_a_city_with_a_crowded_point_is_listed_whole(tmp_path, caplog, past_cap):
    caplog.set_level(logging.INFO)
    made = catalog(14_000, pin=6_000, second=900)
    with serve(made, past_cap=past_cap) as server:
        photos, cells, client = searched(tmp_path, server)
        searches = [call for call in server.calls if call.name == "flickr.photos.search"]
        assert all("min_upload_date" in call.params for call in searches)
    assert set(photos["id"]) == wanted(made)
    assert_adds_up(photos, cells)
    said = summary(tmp_path)
    assert said["verdict"] == "complete"
    assert said["ledger"]["steps"] >= cells["calls"].sum() - 4  # a busy second's pages are no steps
    assert said["ledger"]["over"] == said["ledger"]["under"] == 0
    assert said["calls"] == cells["calls"].sum()
    assert said["calls"] <= 1.05 * math.ceil(len(photos) / 250) + 1  # a busy second's page
    # The licence table, the probes, the audit; nothing else.
    assert client.requests == said["calls"] + 1 + said["probes"]["calls"] + said["audit"]["calls"]
    assert f"{len(photos)} photos in {said['calls']} calls" in caplog.text
    assert KEY not in caplog.text


def test_rows_match_the_services_photos(tmp_path):
    made = {p.id: p for p in catalog(500)}
    with serve(list(made.values())) as server:
        photos, _, _ = searched(tmp_path, server)
        host = server.photo_host
    assert len(photos) > 200
    for row in photos.itertuples():
        truth = made[row.id]
        assert (row.lat, row.lon, row.accuracy) == (truth.lat, truth.lon, truth.accuracy)
        assert (row.owner, row.owner_name, row.title) == (
            truth.owner,
            truth.owner_name,
            truth.title,
        )
        assert (row.date_upload, row.date_taken) == (truth.date_upload, truth.date_taken)
        assert row.url == f"{host}/65535/{truth.id}_{truth.secret}.jpg"
        assert row.photo_page == f"https://www.flickr.com/photos/{truth.owner}/{truth.id}"
        assert row.license_id == truth.license_id
    by_id = photos.set_index("license_id")
    assert set(by_id.loc[[11], "license"]) == {"CC BY 4.0"}
    assert set(by_id.loc[[9], "license_url"]) == {
        "https://creativecommons.org/publicdomain/zero/1.0/"
    }


def test_splitting_faults_and_another_run_change_no_byte(tmp_path):
    made = catalog(6_000, pin=1_500)
    faults = Faults(
        seed=3, api_503=0.1, api_429=0.1, html_200=0.1, api_busy=0.1, retry_after_s=0.02
    )
    with serve(made) as server:
        calm, _, _ = searched(tmp_path, server, "calm", box_total=500)
        searched(tmp_path, server, "again", workers=1, box_total=500)
        port = server.port
    with serve(made[::-1], faults=faults, port=port) as server:
        rough, cells, client = searched(tmp_path, server, "rough", box_total=500)
    assert client.requests > cells["calls"].sum() + 30
    assert not cells["is_leaf"].all()
    assert set(calm["id"]) == set(rough["id"]) == wanted(made)
    assert_adds_up(rough, cells)
    for file in ("photos.parquet", "cells.parquet", "search.json"):
        calm_bytes = (tmp_path / "calm" / file).read_bytes()
        assert calm_bytes == (tmp_path / "again" / file).read_bytes()
        assert calm_bytes == (tmp_path / "rough" / file).read_bytes()


def test_a_photo_on_the_area_s_edge_is_inside_and_one_beside_it_is_not(tmp_path):
    west, south, east, north = 32.4, 15.4, 32.5, 15.5
    inside = [(west, 15.45), (east, 15.45), (32.45, south), (32.45, north), (east, north)]
    outside = [(west - 1e-6, 15.45), (32.45, north + 1e-6)]
    made = [photo(n, lon, lat, 1_500_000_000 + n) for n, (lon, lat) in enumerate(inside + outside)]
    with serve(made) as server:
        spec = spec_of(server) | {"bbox_deg": [west, south, east, north]}
        found = run(spec, Client(server.api_url, KEY, SECRET))
    assert {row["id"] for row in found.photos} == {p.id for p in made[: len(inside)]}


def test_an_area_without_photos_is_an_empty_table(tmp_path):
    with serve([photo(1, 0.5, 0.5, 1_500_000_000)]) as server:
        photos, cells, client = searched(tmp_path, server)
    assert len(photos) == 0
    assert list(photos) == list(tables.PHOTOS)
    assert_adds_up(photos, cells)
    # The licence table, the box with three accuracies, each licence alone, four edges, the world.
    assert client.requests == 1 + 3 + len(OPEN) + 4 + 1
    assert summary(tmp_path)["verdict"] == "complete"
    assert tables.read(tmp_path / "run" / "photos.parquet", "photos").empty


def test_ineffective_licence_lists_are_queried_one_by_one(tmp_path):
    made = catalog(1_500)
    with serve(made) as server:
        catalog_search = server.catalog.search

        def several_find_nothing(params, host):
            far = {"bbox": "0,0,1,1"} if "," in params.get("license", "") else {}
            return catalog_search({**params, **far}, host)

        server.catalog.search = several_find_nothing
        photos, cells, _ = searched(tmp_path, server)
    assert set(photos["id"]) == wanted(made)
    assert_adds_up(photos, cells)
    assert set(cells["cell"]) == {"r", *(f"{number}:r" for number in OPEN)}


def test_strays_are_left_out(tmp_path):
    made = catalog(400)
    with serve(made) as server:
        catalog_search = server.catalog.search

        def loose(params, host):
            ignored = {"license", "bbox", "max_upload_date"}
            return catalog_search({k: v for k, v in params.items() if k not in ignored}, host)

        server.catalog.search = loose
        photos, _, _ = searched(tmp_path, server)
    assert set(photos["id"]) <= wanted(made)
    left_out = summary(tmp_path)["left_out"]
    assert set(left_out) == {"outside the area", "uploaded after the snapshot", "another licence"}
    assert len(photos) + sum(left_out.values()) == len(made)


def test_a_licence_the_service_does_not_know_stops_before_the_search(tmp_path):
    with serve([]) as server:
        with pytest.raises(UserError, match=r"'khartoum': `search\.licenses` has 17"):
            searched(tmp_path, server, licenses=[4, 17])
        assert {call.name for call in server.calls} == {"flickr.photos.licenses.getInfo"}


@pytest.mark.parametrize(
    ("key", "secret", "named"),
    [("f" * 32, SECRET, "FLICKR_API_KEY"), (KEY, "wrong", "FLICKR_API_SECRET")],
)
def test_a_wrong_key_or_secret_stops_at_once(key, secret, named):
    with serve([]) as server:
        with pytest.raises(UserError, match=named) as caught:
            run(spec_of(server), Client(server.api_url, key, secret))
        assert key not in str(caught.value)
        assert len(server.calls) == 1


def test_without_a_secret_calls_are_unsigned_and_work(tmp_path):
    made = catalog(300)
    with serve(made) as server:
        photos, _, _ = searched(tmp_path, server, secret="")
    assert set(photos["id"]) == wanted(made)


def command(tmp_path, server, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FLICKR_")}
    spec = json.dumps(spec_of(server))
    args = [sys.executable, "-m", "witw.sources.search", "--spec", spec]
    args += ["--photos", "results/a/photos.parquet", "--cells", "results/a/cells.parquet"]
    args += ["--summary", "results/a/search.json"]
    env = clean | {"XDG_STATE_HOME": str(tmp_path / "state")} | environment
    return subprocess.run(args, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)


def test_the_stage_runs_by_itself_and_leaves_the_key_nowhere(tmp_path):
    made = catalog(300)
    with serve(made, faults=Faults(api_busy=0.5, most=1)) as server:
        done = command(tmp_path, server, FLICKR_API_KEY=KEY, FLICKR_API_SECRET=SECRET)
    assert done.returncode == 0, done.stderr
    assert set(tables.read(tmp_path / "results/a/photos.parquet", "photos")["id"]) == wanted(made)
    assert "times the minimum" in done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    names = {path.name for path in files if path.parent.name == "a"}
    assert names == {"photos.parquet", "cells.parquet", "search.json"}
    assert (tmp_path / "journal" / "khartoum.sqlite").is_file()
    for secret in (KEY, SECRET):
        assert secret not in done.stderr + done.stdout
        assert all(secret.encode() not in path.read_bytes() for path in files)


def test_without_a_key_the_stage_explains_how_to_get_one(tmp_path):
    with serve([]) as server:
        done = command(tmp_path, server)
        assert server.calls == []
    assert done.returncode == 1
    assert done.stderr.startswith("witw: FLICKR_API_KEY is not set")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_repeated_search_makes_no_call(tmp_path):
    with serve(catalog(3_000)) as server:
        searched(tmp_path, server)
        first = (tmp_path / "run" / "photos.parquet").read_bytes()
        calls = len(server.calls)
        searched(tmp_path, server)
        assert server.calls[calls:] == []
    assert (tmp_path / "run" / "photos.parquet").read_bytes() == first


def test_later_snapshots_list_new_photos_and_mark_gone_ones(tmp_path):
    made = catalog(3_000)
    with serve(made) as server:
        before, _, _ = searched(tmp_path, server)
        port = server.port
    gone = set(before["id"].iloc[::40])
    new = photo(9_999, 32.5, 15.6, SNAPSHOT + 1_000)
    with serve([p for p in made if p.id not in gone] + [new], port=port) as server:
        missed, _, _ = searched(tmp_path, server, snapshot="2025-07-01T00:00:00Z")
        assert not missed["is_gone"].any()
        assert set(missed.loc[missed["cell"] == "missed", "id"]) == gone
        after, _, _ = searched(tmp_path, server, snapshot="2025-08-01T00:00:00Z")
    late = {p.id for p in made if SNAPSHOT < p.date_upload <= 1_754_006_400} & set(after["id"])
    assert set(after["id"]) == set(before["id"]) | late | {new.id}
    assert set(after.loc[after["is_gone"], "id"]) == gone
    tombs = after[after["is_gone"]]
    assert set(tombs["owner"] + tombs["title"] + tombs["url"] + tombs["date_taken"]) == {""}
    assert set(tombs["last_seen"]) == {"2025-06-15T15:06:40Z"}
    there = after[~after["is_gone"]].set_index("id")
    assert there.loc[new.id, "first_seen"] == "2025-07-01T00:00:00Z"
    assert set(there.loc[sorted(set(before["id"]) - gone), "first_seen"]) == {
        "2025-06-15T15:06:40Z"
    }
    assert summary(tmp_path)["gone"] == len(gone)


def test_a_forgotten_photo_is_never_listed_again(tmp_path):
    made = catalog(400)
    with serve(made) as server:
        before, _, _ = searched(tmp_path, server)
        removed, owner = before["id"].iloc[0], before["owner"].iloc[1]
        forgotten.add([removed], [owner], ["khartoum"])
        after, cells, _ = searched(tmp_path, server)
    left = before[(before["id"] != removed) & (before["owner"] != owner)]
    assert set(after["id"]) == set(left["id"])
    assert len(left) < len(before) - 1
    assert cells["listed"].sum() == len(after)
    assert summary(tmp_path)["forgotten"] == len(before) - len(after)


def test_a_required_accuracy_is_detected(tmp_path):
    made = catalog(1_000)
    with serve(made, behaviour=Behaviour(accuracy_unset="street")) as server:
        photos, _, _ = searched(tmp_path, server)
    assert set(photos["id"]) == wanted(made)
    totals = summary(tmp_path)["accuracy_totals"]
    assert totals["1"] == len(photos)
    assert totals["unset"] == totals["16"] < len(photos)


def test_lagging_replicas_are_detected_and_more_sweeps_help(tmp_path):
    made = catalog(6_000)
    lagging = Behaviour(replicas=3, lag=0.02, seed=5)
    with serve(made, behaviour=lagging) as server:
        once, _, _ = searched(tmp_path, server, "once")
        thrice, _, _ = searched(tmp_path, server, "thrice", sweeps=3)
    said = summary(tmp_path, "once")
    everything = wanted(made)
    missing = 1 - (once["cell"] != "audit").sum() / len(everything)
    assert said["audit"]["low"] <= missing <= said["audit"]["high"]
    assert said["verdict"] != "complete"
    assert "`search.sweeps`" in " ".join(said["reasons"])
    assert len(everything) - len(thrice) < 0.2 * (len(everything) - len(once))


TRIANGLE = [[32.42, 15.44], [32.56, 15.60], [32.45, 15.85]]


def shaped(server, area):
    ground = shapes.of(area, 0)
    spec = spec_of(server) | {"bbox_deg": list(ground.bbox_deg)}
    return spec | {"shape": shapes.told(area, 0)}


def test_an_area_of_any_shape_lists_and_queries_only_its_inside(tmp_path):
    photos = catalog(3000)
    with serve(photos) as server:
        spec = shaped(server, TRIANGLE)
        client = Client(server.api_url, KEY, SECRET, pause_s=0.01)
        found = run(spec, client)
        total = total_of(spec, client)
        # The area has only a box again, and the same journal folder.
        again = run(spec, client)
    open_ones = [p for p in photos if p.license_id in OPEN and p.date_upload <= SNAPSHOT]
    inside = {p.id for p in open_ones if Outline(TRIANGLE).contains_point((p.lon, p.lat))}
    assert {row["id"] for row in found.photos} == inside and len(inside) > 200
    assert again == found
    assert found.summary["verdict"] == "complete"
    assert found.summary["left_out"] == {}
    assert abs(total - len(inside)) < 0.35 * len(inside)


def test_an_area_across_the_180th_meridian_is_searched_on_both_sides(tmp_path):
    rng = np.random.default_rng(4)
    lon = np.round(rng.uniform(178.9, 181.1, 900), 6)
    lon = np.where(lon > 180, lon - 360, lon).round(6)
    rows = zip(range(900), lon.tolist(), rng.uniform(-17, -16, 900).round(6).tolist(),
               rng.integers(1_100_000_000, SNAPSHOT, 900).tolist(), strict=True)  # fmt: skip
    photos = [photo(*row) for row in rows]
    with serve(photos) as server:
        spec = spec_of(server) | {"bbox_deg": [179.0, -17.0, 181.0, -16.0]}
        client = Client(server.api_url, KEY, SECRET, pause_s=0.01)
        found = run(spec, client)
        assert total_of(spec, client) == len(found.photos)
    expected = {p.id for p in photos if abs(p.lon) >= 179}
    assert {row["id"] for row in found.photos} == expected and 700 < len(expected) < 900
    assert found.summary["verdict"] == "complete"
