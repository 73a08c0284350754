"""`witw forget` on a finished run: its effect, and that of the next `snakemake`."""

import os
import sqlite3
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from made_town import TWO_CITIES, lay
from witw import tables
from witw.demo.build import served
from witw.demo.fake_flickr.server import load_catalog, save_catalog

# tests/commands/test_forget.py covers the command itself.
pytestmark = [pytest.mark.workflow, pytest.mark.long]
REPO = Path(__file__).parents[2]
KEY = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
OWNER = "87654321@N07"
TOPS = ("results", "photos", "journal")
# A network namespace in which no interface is up.
ALONE = ("unshare", "--user", "--map-root-user", "--net")
CAN_BE_ALONE = not subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode


class Run:
    """A finished run of two made cities; in the first one, two photos are :data:`OWNER`'s.

    Attributes:
        is_alone: whether commands have no key, and `forget` no network, not even this machine's.
        photo: a paired photo of the first city, of another owner.
        theirs: the owner's photos.
    """

    def __init__(self, folder: Path, areas: list[str]) -> None:
        self.folder, self.areas = folder, areas
        self.is_alone = False
        path = folder / "world" / "catalog.parquet"
        catalog = load_catalog(path)
        here = self._inside(catalog, areas[0])
        self.theirs = here[:2]
        save_catalog(path, [replace(p, owner=OWNER) if p.id in self.theirs else p for p in catalog])

    def _inside(self, catalog, area):
        """Return ids of photos that will be listed and fetched, in order."""
        config = yaml.safe_load((self.folder / "config.yaml").read_text())
        west, south, east, north = config["aois"][area]["bbox_deg"]
        return sorted(
            p.id
            for p in catalog
            if p.license_id and not p.removed and west < p.lon < east and south < p.lat < north
        )

    def command(self, *args: str) -> str:
        environ = os.environ | {"XDG_STATE_HOME": str(self.folder.parent / "state")}
        environ |= {} if self.is_alone else {"FLICKR_API_KEY": KEY}
        done = subprocess.run(
            # `download` still requests the photos that it never received.
            [*(ALONE if self.is_alone and "forget" in args else ()), sys.executable, "-m", *args],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def snakemake(self, *args: str) -> str:
        place = ["--snakefile", str(REPO / "Snakefile"), "--directory", str(self.folder)]
        threads = ["--set-threads", "utm=1", "scenes=1"]
        return self.command("snakemake", *place, "--cores", "2", *threads, *args)

    def forget(self, *args: str) -> str:
        return self.command("witw", "forget", "--directory", str(self.folder), *args)

    def files(self, area: str) -> dict[str, tuple[bytes, int]]:
        """Return content and time of all files of an area."""
        paths = [self.folder / "journal" / f"{area}.sqlite"]
        for top in ("results", "photos"):
            paths += sorted((self.folder / top / area).rglob("*"))
        return {
            str(path.relative_to(self.folder)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in paths
            if path.is_file()
        }

    def pictures(self) -> list[bytes]:
        """Return the middle bytes of every file of the photos: served, cut and packed."""
        gone = {self.photo, *self.theirs}
        bodies = [
            path.read_bytes()
            for top in ("results", "photos")
            for path in (self.folder / top).rglob("*.jpg")
            if path.stem in gone
        ]
        for path in (self.folder / "results").rglob("pictures.arrow"):
            rows = pd.read_feather(path).query("id in @gone")
            bodies += [*rows["photo"], *rows["chip"]]
        return sorted({body[len(body) // 2 :][:64] for body in bodies})

    def holding(self, pictures: list[bytes]) -> list[str]:
        """Return files of the run folder that contain one of these; `world` is the photo host's."""
        found = []
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.relative_to(self.folder).parts[0] != "world":
                content = path.read_bytes()
                found += [str(path) for picture in pictures if picture in content]
        return found

    def traces(self, *words: str) -> list[str]:
        """Return files that contain any of the words, unpacked, including their names."""
        held = []
        for top in TOPS:
            for path in sorted((self.folder / top).rglob("*")):
                if path.is_file() and path.name != "forgotten.json":
                    content = f"{path.relative_to(self.folder)}\n".encode() + unpacked(path)
                    held += [str(path) for word in words if word.encode() in content]
        return held


def unpacked(path: Path) -> bytes:
    out = path.read_bytes()
    if path.suffix == ".parquet":
        out += pd.read_parquet(path).to_csv().encode()
    if path.suffix == ".sqlite":
        database = sqlite3.connect(path)
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            for row in database.execute(f"SELECT * FROM {name}"):
                for value in row:
                    out += zlib.decompress(value) if isinstance(value, bytes) else b""
                    out += f"{value} ".encode()
        database.close()
    return out


def asked_for(server, since: int, kind: str) -> list[str]:
    """Return requests to the stand-in since then: names of API methods or paths of photos."""
    return [call.name for call in server.calls[since:] if call.kind == kind]


@pytest.fixture(scope="module")
def run(tmp_path_factory, free_port):
    folder = tmp_path_factory.mktemp("run")
    cities = lay(tmp_path_factory, folder, free_port, TWO_CITIES)
    made = Run(folder, [city.name for city in cities])
    with served(folder, faults=None) as server:
        made.server = server
        made.snakemake()
        pairs = tables.read(folder / f"results/{made.areas[0]}/pairs.parquet", "pairs")
        paired = pairs[(pairs["status"] == "paired") & (pairs["owner"] != OWNER)]
        made.photo = paired["id"].iloc[0]
        yield made


def test_traces_are_everywhere_before_the_command(run):
    """The search for traces finds known ones: in a packed journal, tables, file names."""
    first = run.areas[0]
    places = {str(Path(p).relative_to(run.folder)) for p in run.traces(run.photo)}
    assert f"journal/{first}.sqlite" in places
    assert {f"results/{first}/photos.parquet", "results/dataset/pairs.parquet"} <= places
    assert any(p.startswith(f"results/{first}/chips/") and p.endswith(".jpg") for p in places)
    assert any(p.startswith("photos/") for p in places)
    assert run.traces(OWNER)


def test_forgotten_photos_leave_no_trace_and_the_other_area_untouched(run):
    first, second = run.areas
    untouched = run.files(second)
    asked = len(run.server.calls)
    pictures = run.pictures()
    assert len(pictures) > 4
    run.is_alone = CAN_BE_ALONE
    said = run.forget(run.photo) + run.forget("--owner", OWNER)
    assert run.holding(pictures) == []
    assert "Removed from the photo store: 1 file" in said
    assert f"Removed from the photo store: 2 files ({first} 2)." in said
    assert not [photo for photo in run.theirs if photo in said]
    gone = [run.photo, *run.theirs]
    assert not [p for p in (run.folder / "photos").rglob("*.jpg") if p.stem in gone]

    logs = run.snakemake()
    run.is_alone = False
    assert run.traces(*gone, OWNER) == []
    assert run.holding(pictures) == []
    assert run.files(second) == untouched
    assert "flickr.photos.search" not in asked_for(run.server, asked, "api")
    fetched = asked_for(run.server, asked, "photo")
    assert not [path for path in fetched if any(photo in path for photo in gone)]
    assert not [word for word in (*gone, OWNER) if word in logs]
    listed = set(tables.read(run.folder / f"results/{first}/pairs.parquet", "pairs")["id"])
    assert len(listed) == 12 - 3


def test_the_next_run_has_nothing_to_do(run):
    assert "Nothing to be done" in run.snakemake()


def test_a_later_snapshot_does_not_bring_them_back(run):
    """The service still has them; it is queried, but its records of them are not kept."""
    first, second = run.areas
    untouched = run.files(second)
    asked = len(run.server.calls)
    path = run.folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["aois"][first]["search"] = {"snapshot": "2026-11-15T00:00:00Z"}
    path.write_text(yaml.safe_dump(config))
    run.snakemake()
    gone = [run.photo, *run.theirs]
    assert "flickr.photos.search" in asked_for(run.server, asked, "api")
    fetched = asked_for(run.server, asked, "photo")
    assert not [path for path in fetched if any(photo in path for photo in gone)]
    assert run.traces(*gone, OWNER) == []
    assert run.files(second) == untouched
    assert "Removed from the photo store: nothing." in run.forget(*gone, "--owner", OWNER)
    assert "Nothing to be done" in run.snakemake()
