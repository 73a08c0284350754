"""A later snapshot: gone photos are distinguished from missed ones, over HTTP and in process."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from answers import BBOX, KEY, LICENSES

from witw import tables
from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.server import CatalogPhoto, FlickrServer
from witw.errors import UserError
from witw.flickr import search
from witw.flickr.api.client import Client
from witw.flickr.crawl.journal import Journal
from witw.store import journal_path

FIRST, SECOND, THIRD, FOURTH = (f"2025-0{month}-01T00:00:00Z" for month in (1, 2, 3, 4))
SEARCH, INFO = "flickr.photos.search", "flickr.photos.getInfo"
MONTH = 31 * 86_400
START = 1_735_689_600  # FIRST


def photo(number, upload=None, lon=None, lat=None, **changes):
    fields = {
        "id": str(50_000_000_000 + number),
        "owner": f"{number % 7:08d}@N00",
        "owner_name": f"name of {number}",
        "title": f"words on {number}",
        "lat": round(50.001 + number % 97 / 1_000, 6) if lat is None else lat,
        "lon": round(10.001 + number % 193 / 1_000, 6) if lon is None else lon,
        "accuracy": 16,
        "license_id": LICENSES[number % 3],
        "date_upload": START - 1_000 * number - 1 if upload is None else upload,
        "date_taken": "2020-01-01 00:00:00",
        "secret": f"{number:010x}",
        "server": "65535",
    }
    return CatalogPhoto(**fields | changes)


@pytest.fixture
def searched(tmp_path, monkeypatch, free_port):
    """Search a server's current state; return rows by id, the summary and the server's calls."""
    monkeypatch.chdir(tmp_path)

    def run(photos, snapshot, behaviour=None, bbox=BBOX, licenses=LICENSES, confirm_gone=""):
        told = {"oslo": confirm_gone} if confirm_gone else {}
        monkeypatch.setenv("WITW_CONFIRM_GONE", json.dumps(told))
        # The address stays the same, because it identifies the service in the journal.
        with FlickrServer(photos, lambda _: None, port=free_port, behaviour=behaviour) as server:
            spec = {
                "aoi": "oslo",
                "bbox_deg": list(bbox),
                "flickr": {"api_url": server.api_url, "photo_hosts": ["https://photos.example"]},
                "search": {"snapshot": snapshot, "licenses": list(licenses)},
            }
            client = Client(server.api_url, KEY, sleep=lambda _: None)
            with Journal(journal_path("oslo"), server.api_url, snapshot) as kept:
                found = search.run(spec, client, kept)
        tables.write(tmp_path / "photos.parquet", "photos", found.photos)
        return {one["id"]: one for one in found.photos}, found.summary, server.calls

    return run


def missed(rows):
    return {photo_id for photo_id, one in rows.items() if one["cell"] == "missed"}


def gone(rows):
    return {photo_id for photo_id, one in rows.items() if one["is_gone"]}


def ids(photos):
    return {one.id for one in photos}


OLD = [photo(number) for number in range(600)]
NEW = [photo(1_000 + number, START + 60 * number + 1) for number in range(50)]


def test_gone_photos_get_a_tombstone_and_new_ones_a_date(searched):
    rows, summary, _ = searched(OLD, FIRST)
    assert set(rows) == ids(OLD)
    assert summary["gone"] == 0
    removed = ids(OLD[::25])
    now = [one for one in OLD if one.id not in removed] + NEW
    waiting, summary, calls = searched(now, SECOND)
    # A photo missed once is not gone: row and address stay unchanged.
    assert (gone(waiting), missed(waiting)) == (set(), removed)
    assert (summary["gone"], summary["missed"]) == (0, len(removed))
    assert {call.name for call in calls} == {"flickr.photos.licenses.getInfo", SEARCH}
    for photo_id in removed:
        assert waiting[photo_id] | {"cell": "r"} == rows[photo_id]
    again, summary, calls = searched(now, THIRD)
    assert [call.params["photo_id"] for call in calls if call.name == INFO] == sorted(removed)
    assert (gone(again), missed(again)) == (removed, set())
    assert summary["gone"] == len(removed)
    assert summary["photos"] == len(now)
    assert set(again) == ids(OLD) | ids(NEW)
    for photo_id, one in again.items():
        assert one["first_seen"] == (SECOND if photo_id in ids(NEW) else FIRST)
        assert one["last_seen"] == (FIRST if photo_id in removed else THIRD)
        if photo_id in removed:
            blank = ("owner", "owner_name", "title", "date_taken", "url", "photo_page", "cell")
            assert not any(one[name] for name in blank)
            kept = ("lat", "lon", "license_id", "license", "date_upload")
            assert [one[name] for name in kept] == [rows[photo_id][name] for name in kept]
        else:
            assert one["owner"]
            assert one["cell"]


def test_a_tombstone_stays_without_further_calls(searched):
    searched(OLD, FIRST)
    now = OLD[:300] + OLD[310:]
    searched(now, SECOND)
    searched(now, THIRD)
    rows, summary, calls = searched(now, FOURTH)
    assert gone(rows) == ids(OLD[300:310])
    assert all(rows[photo_id]["last_seen"] == FIRST for photo_id in gone(rows))
    # Licences, pages, probes, audit; gone photos are not looked up again.
    audit = summary["probes"]["calls"] + summary["audit"]["calls"]
    assert len(calls) == 1 + summary["calls"] + audit


def test_a_photo_that_comes_back_is_itself_again(searched):
    searched(OLD, FIRST)
    searched(OLD[1:], SECOND)
    rows, _, _ = searched(OLD[1:], THIRD)
    assert gone(rows) == {OLD[0].id}
    rows, summary, _ = searched(OLD, FOURTH)
    back = rows[OLD[0].id]
    assert gone(rows) == set()
    assert summary["gone"] == 0
    assert (back["first_seen"], back["last_seen"]) == (FIRST, FOURTH)
    assert (back["title"], back["owner"]) == (OLD[0].title, OLD[0].owner)


def test_a_repeated_search_changes_nothing_and_makes_no_call(searched):
    searched(OLD, FIRST)
    for snapshot in (SECOND, THIRD):
        rows, summary, _ = searched(OLD[5:] + NEW, snapshot)
        again, said, calls = searched([], snapshot)
        assert (again, said, calls) == (rows, summary, [])
    assert len(gone(again)) == 5


def test_a_changed_owner_or_title_is_taken_over(searched):
    searched(OLD, FIRST)
    now = [replace(OLD[0], title="renamed", license_id=5), *OLD[1:]]
    rows, _, _ = searched(now, SECOND)
    assert (rows[OLD[0].id]["title"], rows[OLD[0].id]["license_id"]) == ("renamed", 5)


def test_a_photo_whose_licence_was_closed_or_place_was_taken_away_is_gone(searched):
    searched(OLD, FIRST)
    now = [replace(OLD[0], license_id=0), replace(OLD[1], has_geo=False), *OLD[2:]]
    now += [replace(now.pop(2), lat=60.0)]
    searched(now, SECOND)
    rows, _, _ = searched(now, THIRD)
    assert gone(rows) == {OLD[0].id, OLD[1].id, OLD[2].id}


def test_outside_a_smaller_box_nothing_is_called_gone(searched):
    searched(OLD, FIRST)
    west, south, east, north = BBOX
    smaller = (west, south, (west + east) / 2, north)
    searched(OLD[1:], SECOND, bbox=smaller)
    rows, summary, _ = searched(OLD[1:], THIRD, bbox=smaller)
    inside = {one.id for one in OLD if one.lon <= smaller[2]}
    assert set(rows) == inside
    assert gone(rows) == {OLD[0].id} & inside
    assert summary["gone"] == 1


def test_licences_no_longer_wanted_are_not_called_gone(searched):
    searched(OLD, FIRST)
    rows, _, _ = searched(OLD, SECOND, licenses=[4])
    assert set(rows) == {one.id for one in OLD if one.license_id == 4}
    assert gone(rows) == set()


def test_several_pages_of_one_second_are_settled(searched):
    """Photos of one second are found or missed by place if pages show only a part."""
    crowd = [photo(number, START - 5_000) for number in range(700)]
    rows, _, _ = searched(crowd, FIRST)
    assert set(rows) == ids(crowd)
    rows, _, _ = searched(crowd[3:], SECOND)
    assert missed(rows) == ids(crowd[:3])
    rows, _, _ = searched(crowd[3:], THIRD)
    assert gone(rows) == ids(crowd[:3])


def test_servers_that_lag_behind_do_not_kill_photos(searched):
    """Most photos missed by a search are looked up and found; none is ever gone."""
    searched(OLD, FIRST)
    lagging = Behaviour(seed=3, replicas=3, lag=0.05)
    rows, _, _ = searched(OLD[6:], SECOND, lagging)
    assert ids(OLD[:6]) <= missed(rows)
    assert gone(rows) == set()
    assert any(one["cell"] == "check" for one in rows.values())
    rows, _, _ = searched(OLD[6:], THIRD, replace(lagging, seed=4))
    assert gone(rows) == ids(OLD[:6])
    assert set(rows) == ids(OLD)


# --- an index that lacks photos


@pytest.mark.parametrize("totals", ["text", "number"])
@pytest.mark.parametrize("thinned", [1.0, 0.5, 0.1])
def test_an_index_that_lacks_photos_stops_the_area_and_changes_nothing(
    searched, tmp_path, thinned, totals
):
    rows, _, _ = searched(OLD, FIRST)
    table = (tmp_path / "photos.parquet").read_bytes()
    index = Behaviour(thinned=thinned, totals=totals)
    for _ in range(2):
        with pytest.raises(UserError) as error:
            searched(OLD, SECOND, index)
        said = str(error.value)
        assert said.startswith("Area 'oslo': ")
        assert "of the 600 photos listed by the previous search are missing" in said
        assert "10 of 10 still exist" in said
        assert f"set `search.confirm_gone: {SECOND}` for this area" in said
        assert (tmp_path / "photos.parquet").read_bytes() == table
    # Once the index is complete again, so is the search, at the same snapshot.
    again, summary, _ = searched(OLD, SECOND)
    assert (set(again), gone(again), missed(again)) == (set(rows), set(), set())
    assert summary["verdict"] == "complete"


def test_photos_that_only_their_ids_show_stay_even_if_confirmed(searched):
    searched(OLD, FIRST)
    index = Behaviour(thinned=0.5)
    with pytest.raises(UserError):
        searched(OLD, SECOND, index)
    rows, summary, _ = searched(OLD, SECOND, index, confirm_gone=SECOND)
    assert (set(rows), gone(rows), missed(rows)) == (ids(OLD), set(), set())
    assert {one["last_seen"] for one in rows.values()} == {SECOND}
    assert all(one["title"] and one["url"] for one in rows.values())
    assert summary["verdict"] != "complete"
    assert "no search shows still exist under their ids" in " ".join(summary["reasons"])


def test_many_gone_photos_are_removed_after_a_confirmation(searched):
    searched(OLD, FIRST)
    with pytest.raises(UserError, match="0 of 10 still exist"):
        searched(OLD[300:], SECOND)
    # Another snapshot confirms nothing.
    with pytest.raises(UserError, match="300 of the 600"):
        searched(OLD[300:], SECOND, confirm_gone=FIRST)
    rows, summary, _ = searched(OLD[300:], SECOND, confirm_gone=SECOND)
    assert gone(rows) == ids(OLD[:300])
    assert summary["gone"] == 300
    # The key may stay or be removed; a finished search does not change.
    again, _, calls = searched([], SECOND)
    assert (again, calls) == (rows, [])
    rows, _, _ = searched(OLD[300:], THIRD, confirm_gone=SECOND)
    assert gone(rows) == ids(OLD[:300])


def test_confirming_before_anything_was_missed_removes_nothing_at_once(searched):
    searched(OLD, FIRST)
    rows, _, _ = searched(OLD[300:], SECOND, confirm_gone=SECOND)
    assert (gone(rows), missed(rows)) == (set(), ids(OLD[:300]))
    rows, _, _ = searched(OLD[300:], THIRD)
    assert gone(rows) == ids(OLD[:300])


def test_a_few_that_the_index_lacks_for_long_stay(searched):
    """Two consecutive searches do not show them, but their ids do."""
    searched(OLD, FIRST)
    index = Behaviour(thinned=0.02)
    rows, _, _ = searched(OLD, SECOND, index)
    lacking = missed(rows)
    assert 3 < len(lacking) < 30
    rows, summary, _ = searched(OLD, THIRD, index)
    assert (gone(rows), missed(rows)) == (set(), set())
    assert {rows[photo_id]["cell"] for photo_id in lacking} == {"check"}
    assert summary["verdict"] == "nearly complete"


def kept_texts():
    with closing(sqlite3.connect(journal_path("oslo"))) as database:
        return "".join(text for (text,) in database.execute("SELECT photo FROM listed"))


def test_a_missed_photo_has_a_whole_row_although_none_was_kept(searched):
    """It is missed twice, because the first search that missed it was repeated in between."""
    rows, _, _ = searched(OLD, FIRST)
    for _ in range(2):
        waiting, _, _ = searched(OLD[3:], SECOND)
        for photo_id in ids(OLD[:3]):
            assert waiting[photo_id] | {"cell": "r"} == rows[photo_id]
    assert OLD[0].title in kept_texts()
    searched(OLD[3:], THIRD)
    # The owner's texts do not outlive the photo.
    assert OLD[0].title not in kept_texts()


def test_an_invalid_confirmation_is_reported(searched):
    with pytest.raises(UserError, match=r"WITW_CONFIRM_GONE is .* gives no date for 'oslo'"):
        searched(OLD, FIRST, confirm_gone="soon")
