"""`witw forget` in a run folder made by the real search against the Flickr stand-in."""

import json
import multiprocessing
import sqlite3
import subprocess
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from witw import __main__, forgotten, store, tables
from witw.commands import forget
from witw.config import load
from witw.demo.fake_flickr.server import CatalogPhoto, FlickrServer
from witw.errors import UserError
from witw.sources import search as stage_search
from witw.spec import build

KEY = "0123456789abcdef0123456789abcdef"
# West and east overlap; south lies apart.
BOXES = {
    "west": (10.70, 59.90, 10.80, 59.95),
    "east": (10.78, 59.90, 10.90, 59.95),
    "south": (10.70, 59.00, 10.80, 59.05),
}
WEST, BOTH, EAST, SOUTH = (10.75, 59.92), (10.79, 59.92), (10.85, 59.92), (10.75, 59.02)
ANA, BO, CY = "11111111@N01", "22222222@N02", "33333333@N03"
# Owner and place of every photo; its id is 52800000500 and its place in this list.
PHOTOS = [(ANA, WEST), (ANA, BOTH), (BO, BOTH), (BO, EAST), (CY, SOUTH), (CY, SOUTH), (ANA, WEST)]


def photo(number, owner, place, upload=None):
    return CatalogPhoto(
        id=str(52_800_000_500 + number),
        owner=owner,
        owner_name=f"name of {owner}",
        title=f"title {number}",
        lat=place[1],
        lon=place[0],
        accuracy=16,
        license_id=4,
        date_upload=upload or 1_400_000_000 + number,
        date_taken="2019-05-16 12:16:36",
        secret=f"{number:010x}",
        server="65535",
    )


class Workplace:
    """A run folder of three areas, which is the test's working folder."""

    def __init__(self, server):
        self.server = server

    def config(self, **search_settings):
        return load(
            {
                "flickr": {"api_url": self.server.api_url, "photo_hosts": [self.server.photo_host]},
                "defaults": {"search": {"licenses": [4], **search_settings}},
                "aois": {
                    name: {"bbox_deg": box, "strips": ["a.tif"]} for name, box in BOXES.items()
                },
            }
        )

    def search(self, aoi, **search_settings):
        """Run the stage as its rule does; return the ids listed."""
        folder = Path("results") / aoi
        spec = build(self.config(**search_settings), "search", aoi)
        files = {name: folder / f"{name}.parquet" for name in ("photos", "cells")}
        files["summary"] = folder / "search.json"
        stage_search.main(
            ["--spec", spec, *(str(x) for k, v in files.items() for x in (f"--{k}", v))]
        )
        return set(tables.read(files["photos"], "photos")["id"])

    def fetch(self, aoi, ids):
        for photo_id in ids:
            path = store.photo_path(aoi, photo_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"jpeg")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("FLICKR_API_KEY", KEY)
    monkeypatch.delenv("FLICKR_API_SECRET", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    monkeypatch.chdir(run_dir)
    catalog = [photo(number, *entry) for number, entry in enumerate(PHOTOS)]
    with FlickrServer(catalog, lambda _: None, key=KEY) as server:
        made = Workplace(server)
        for aoi in BOXES:
            made.fetch(aoi, made.search(aoi))
        yield made


def stored():
    return {str(path) for path in store.ROOT.rglob("*.jpg")}


def traces(*words):
    """Return the names of files in the run folder that contain any of the words, packed or not."""
    held = set()
    for path in (p for p in Path().rglob("*") if p.is_file() and p != forgotten.PATH):
        text = f"{path}\n".encode() + path.read_bytes()
        if path.suffix == ".parquet":
            text += pd.read_parquet(path).to_csv().encode()
        if path.suffix == ".sqlite":
            text += unpacked(path)
        held |= {str(path) for word in words if word.encode() in text}
    return held


def unpacked(path):
    out = b""
    with sqlite3.connect(path) as database:
        names = [
            n for (n,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        for name in names:
            for row in database.execute(f"SELECT * FROM {name}"):
                for value in row:
                    out += (
                        zlib.decompress(value) if isinstance(value, bytes) else f"{value} ".encode()
                    )
    return out


def asked(server):
    return [call for call in server.calls if call.name == "flickr.photos.search"]


def test_a_photo_is_removed_from_every_area_at_once(place):
    before = stored()
    assert {"photos/west/01/52800000501.jpg", "photos/east/01/52800000501.jpg"} < before
    found = forget.run(["52800000501"], [])
    assert found.aois == ["east", "west"]
    assert before - stored() == {"photos/west/01/52800000501.jpg", "photos/east/01/52800000501.jpg"}
    assert forgotten.load() == forgotten.Forgotten(frozenset({"52800000501"}), frozenset())


def test_the_data_card_is_removed_because_it_may_show_the_photo(place):
    folder = Path("results/dataset")
    folder.mkdir()
    for name in ("README.md", "example.jpg", "funnel.csv"):
        (folder / name).write_text("aoi\n")
    forget.run(["999"], [])  # in no table
    assert (folder / "README.md").is_file()
    forget.run(["52800000501"], [])
    assert [path.name for path in folder.iterdir()] == ["funnel.csv"]


def test_every_photo_of_an_owner_is_removed(place):
    before = stored()
    found = forget.run([], [ANA])
    assert found.ids == {"52800000500", "52800000501", "52800000506"}
    gone = {
        "west/00/52800000500",
        "west/01/52800000501",
        "east/01/52800000501",
        "west/06/52800000506",
    }
    assert before - stored() == {f"photos/{name}.jpg" for name in gone}
    assert forgotten.load() == forgotten.Forgotten(frozenset(), frozenset({ANA}))


def test_a_half_fetched_photo_goes_too(place):
    part = Path("photos/south/99/.52800000599.jpg.part")
    part.parent.mkdir()
    part.write_bytes(b"half")
    found = forget.run(["52800000599"], [])
    assert found.aois == ["south"]
    assert not part.exists()


def test_the_next_search_drops_the_rows_without_a_call(place):
    asked_before = len(asked(place.server))
    forget.run(["52800000501"], [CY])
    assert place.search("west") == {"52800000500", "52800000502", "52800000506"}
    assert place.search("east") == {"52800000502", "52800000503"}
    assert place.search("south") == set()
    assert len(asked(place.server)) == asked_before
    assert traces("52800000501", "52800000504", "52800000505", CY) == set()


def test_a_search_of_later_uploads_does_not_bring_them_back(place):
    forget.run(["52800000501"], [CY])
    new = [photo(20, CY, SOUTH, 1_790_000_000), photo(21, BO, SOUTH, 1_790_000_000)]
    catalog = [photo(number, *entry) for number, entry in enumerate(PHOTOS)]
    with FlickrServer([*catalog, *new], lambda _: None, key=KEY, port=0) as later:
        place.server = later
        assert place.search("south", snapshot="2026-11-20T00:00:00Z") == {"52800000521"}
        assert place.search("west", snapshot="2026-11-20T00:00:00Z") == {
            "52800000500",
            "52800000502",
            "52800000506",
        }
        assert place.search("east") == {"52800000502", "52800000503"}
        assert asked(later)
    assert traces("52800000501", "52800000504", "52800000505", "52800000520", CY) == set()


def test_only_areas_with_the_photo_are_listed_again(place):
    digests = {aoi: forgotten.digest(aoi) for aoi in BOXES}
    assert set(digests.values()) == {""}
    forget.run(["52800000500"], [])
    changed = {aoi for aoi in BOXES if forgotten.digest(aoi) != digests[aoi]}
    assert changed == {"west"}
    assert len(forgotten.digest("west")) == 12
    assert json.loads(build(place.config(), "search", "west"))["forgotten"]
    assert json.loads(build(place.config(), "search", "east"))["forgotten"] == ""


def test_a_second_run_changes_nothing(place):
    forget.run(["52800000500"], [CY])
    for aoi in BOXES:
        place.search(aoi)
    digests = {aoi: forgotten.digest(aoi) for aoi in BOXES}
    again = forget.run(["52800000500"], [CY])
    assert (again.files, again.journals, again.tables, again.aois) == ({}, {}, {}, [])
    assert {aoi: forgotten.digest(aoi) for aoi in BOXES} == digests
    assert "Removed from the photo store: nothing." in forget.report(again, ["52800000500"], [CY])


def test_photos_that_come_back_are_removed_again(place):
    forget.run(["52800000500"], [])
    first = forgotten.digest("west")
    place.fetch("west", ["52800000500"])
    assert forget.run(["52800000500"], []).files
    assert forgotten.digest("west") != first


def test_an_unknown_photo_is_remembered_too(place, capsys):
    __main__.run(["forget", "777", "--owner", "44444444@N04"])
    said = capsys.readouterr().out
    assert "Not found here, but remembered: 44444444@N04, 777." in said
    assert forgotten.load().covers("777", "")
    assert forgotten.load().covers("1", "44444444@N04")
    assert not forgotten.load().covers("1", ANA)
    assert all(forgotten.digest(aoi) == "" for aoi in BOXES)


def test_the_next_command_finds_the_rest_of_an_interrupted_one(place, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forget.removal, "scrub", killed)
        with pytest.raises(KeyboardInterrupt):
            forget.run([], [CY])
    # The rows are gone by now, and with them the link from owner to photos.
    assert place.search("south") == set()
    place.fetch("south", ["52800000504"])
    found = forget.run([], [CY])
    assert found.journals.keys() == {"south"}
    assert not Path("photos/south/04/52800000504.jpg").exists()
    assert traces("52800000504", "52800000505", CY) == set()


def test_the_report_lists_removed_and_remaining_data(place, capsys):
    for name in ("dataset", "model", "report"):
        (Path("results") / name).mkdir()
    packed = [
        {"row": 0, "id": "52800000500", "aoi": "west"},
        {"row": 1, "id": "52800000502", "aoi": "west"},
    ]
    frame = pd.DataFrame(packed).reindex(columns=list(tables.PACK))
    tables.write(Path("results/pack/train/pairs.parquet"), "pack", frame)
    __main__.run(["forget", "--owner", ANA])
    said = capsys.readouterr().out
    assert "Removed from the photo store: 4 files (east 1, west 3)." in said
    assert "Removed from the journals of the searches: 4 photos (east 1, west 3)." in said
    assert "Removed from results/: 5 rows, report and maps." in said
    assert "no key is needed" in said
    assert "lists east, west again" in said
    assert "(tables, dataset, pack, model, report)" in said
    assert "The model in results/model was trained with 1 of these photos" in said
    assert "copies outside this folder" in said
    # These were not named on the command line.
    assert not [
        photo_id for photo_id in ("52800000500", "52800000501", "52800000506") if photo_id in said
    ]


def test_without_a_model_none_is_mentioned(place, capsys):
    __main__.run(["forget", "52800000500", "52800000502"])
    said = capsys.readouterr().out
    assert "keep their influence" not in said
    assert "2 photos and 0 owners" in said


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["12a"], "'12a' is not a photo's id"),
        (["../52800000500"], "is not a photo's id"),
        (["٣"], "is not a photo's id"),
        ([ANA], "use --owner"),
        (["--owner", "52800000500"], "'52800000500' is not an NSID"),
        (["--owner", ANA, "someone"], "'someone' is not an NSID"),
        ([], "name photos by their ids"),
    ],
)
def test_a_typo_is_reported_before_anything_is_removed(place, args, words):
    before = stored()
    with pytest.raises(UserError, match=words) as error:
        __main__.run(["forget", *args])
    assert "\n" not in str(error.value)
    assert stored() == before
    assert not forgotten.PATH.exists()


def test_a_folder_that_is_not_a_run_folder_stays_unchanged(tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="is not a run folder"):
        __main__.run(["forget", "52800000500", "--directory", str(tmp_path / "other")])
    assert list((tmp_path / "other").iterdir()) == []


HOLD = """
import sys
from pathlib import Path
from witw.preflight import claim
claim(Path.cwd())
print("held", flush=True)
sys.stdin.read()
"""


def test_nothing_is_removed_during_a_run(place):
    before = stored()
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="Another run is active"):
            __main__.run(["forget", "52800000500"])
        holder.stdin.close()
    assert stored() == before
    assert not forgotten.PATH.exists()


def test_a_table_that_cannot_be_read_is_named(place):
    Path("results/west/pairs.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match=r"results/west/pairs\.parquet is not a readable table"):
        forget.run(["52800000500"], [])


def test_the_command_prints_its_report_and_exits_with_0(place):
    command = [
        sys.executable,
        "-m",
        "witw",
        "forget",
        "52800000500",
        "--directory",
        str(Path.cwd()),
    ]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    assert "Removed from the photo store: 1 file (west 1)." in done.stdout
    assert done.stderr == ""
    command[4] = "x"
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("witw: 'x' is not a photo's id")
    assert "Traceback" not in done.stderr


def test_nothing_is_forgotten_at_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert forgotten.load() == forgotten.Forgotten()
    assert forgotten.digest("west") == ""
    assert list(tmp_path.iterdir()) == []


def test_the_digest_does_not_depend_on_the_order(tmp_path, monkeypatch):
    digests = []
    for name, parts in (("a", ["1", "2"]), ("b", ["2", "1"])):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for photo_id in parts:
            forgotten.add([photo_id], [], ["west"])
        digests.append(forgotten.digest("west"))
    assert digests[0] == digests[1]
    forgotten.add(["3"], [], ["east"])
    assert forgotten.digest("west") == digests[0]
    forgotten.add([], [ANA], ["west"])
    assert forgotten.digest("west") != digests[0]


def remember(number):
    forgotten.add([str(number)], [], ["west"])


def test_two_at_once_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(remember, range(60)))
    assert forgotten.load().ids == {str(number) for number in range(60)}
    assert not list(tmp_path.rglob("*.part*"))


@pytest.mark.parametrize("text", ["{", "[]", '{"ids": ["1"]}', '{"ids": {"1": {}}, "owners": {}}'])
def test_a_broken_list_of_forgotten_photos_stops_everything(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    forgotten.PATH.parent.mkdir()
    forgotten.PATH.write_text(text)
    for call in (forgotten.load, lambda: forgotten.digest("west")):
        with pytest.raises(UserError, match=r"photos/forgotten\.json is not a registry"):
            call()
    with pytest.raises(UserError, match="is not a registry"):
        forgotten.add(["2"], [], [])
    assert forgotten.PATH.read_text() == text
