"""Content of the photo store: after a kill, after a removal, among broken files."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from download_host import GOOD, fetch, listing, picture, send, spec, stored

from witw import forgotten, tables
from witw.errors import UserError

pytestmark = pytest.mark.usefixtures("run_folder")


def test_a_broken_file_in_the_store_is_fetched_again(host):
    host.plan = {f"/{n}": [send(picture(n))] for n in range(4)}
    urls = {str(n): f"{host.url}/{n}" for n in range(4)}
    data = fetch(urls, host.entry)
    Path(data.loc["1", "path"]).write_bytes(picture(1)[:-300])
    Path(data.loc["2", "path"]).write_bytes(b"")
    left = Path(data.loc["3", "path"]).with_name(".3.jpg.part")
    Path(data.loc["3", "path"]).rename(left)  # a leftover of a kill
    host.log.clear()
    assert fetch(urls, host.entry).equals(data)
    assert set(host.counts()) == {"/1", "/2", "/3"}
    assert not left.exists()


def test_a_broken_file_whose_photo_is_gone_is_removed(host):
    host.plan = {"/1": [send(GOOD), send(b"", 404)]}
    path = Path(fetch({"1": f"{host.url}/1"}, host.entry).loc["1", "path"])
    path.write_bytes(GOOD[:-300])
    data = fetch({"1": f"{host.url}/1"}, host.entry)
    assert data.loc["1", "status"] == "gone"
    assert stored() == []


def test_an_invalid_id_never_becomes_a_path(host):
    data = fetch({"../../x": f"{host.url}/1", "1": ""}, host.entry)
    assert data.loc["../../x", "status"] == "failed"
    assert not Path("photos").exists()


def test_an_unwritable_store_gives_one_sentence(host):
    host.plan = {"/1": [send(GOOD)]}
    Path("photos").mkdir()
    Path("photos/rio").write_text("in the way")
    with pytest.raises(UserError, match="photos/rio"):
        fetch({"1": f"{host.url}/1"}, host.entry)


def test_a_run_killed_at_any_time_resumes(host):
    bodies = {n: picture(n) for n in range(40)}
    go = threading.Event()
    reached = threading.Event()

    def gated(n):
        def answer(handler):
            if n >= 20:
                reached.set()
                go.wait(30)
            send(bodies[n])(handler)

        return answer

    host.plan = {f"/{n}": [gated(n)] for n in range(40)}
    urls = {f"{n:02d}": f"{host.url}/{n}" for n in range(40)}
    ids = listing(urls)
    text = json.dumps({"stage": "download", "version": 1, **spec(host.entry)})
    command = [sys.executable, "-m", "witw.sources.download", "--spec", text]
    command += ["--ids", str(ids), "--table", "out.parquet"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    assert reached.wait(60)
    deadline = time.monotonic() + 30
    while not list(Path("photos").rglob("*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    go.set()
    whole = {path.stem for path in stored() if path.suffix == ".jpg"}
    assert whole
    assert not Path("out.parquet").exists()
    for name in whole:
        assert Path(f"photos/rio/{name}/{name}.jpg").read_bytes() == bodies[int(name)]
    host.log.clear()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{len(whole)} in the store, {40 - len(whole)} to fetch" in done.stderr
    assert {path.strip("/").zfill(2) for path in host.counts()} == set(urls) - whole
    assert set(tables.read(Path("out.parquet"), "downloads")["status"]) == {"ok"}
    assert not [path for path in stored() if path.suffix != ".jpg"]


def test_leftovers_of_a_kill_are_removed_even_if_the_photo_is_gone(host):
    host.plan = {"/1": [send(b"", 404)], "/3": [send(b"", 404)]}
    folder = Path("photos/rio")
    left = [folder / "01/.1.jpg.part", folder / "02/.2.jpg.part", folder / "03/.3.jpg.part"]
    for part in left:
        part.parent.mkdir(parents=True)
        part.write_bytes(GOOD[:100])
    urls = {"1": f"{host.url}/1", "2": "https://elsewhere.example/2", "3": f"{host.url}/3"}
    fetch(urls, host.entry, gone={"3"})
    assert stored() == []


def test_a_photo_no_longer_listed_is_removed_and_not_asked_for(host):
    host.plan = {f"/{n}": [send(picture(n))] for n in range(3)}
    urls = {str(n): f"{host.url}/{n}" for n in range(3)}
    fetch({i: urls[i] for i in "01"}, host.entry)
    host.log.clear()
    data = fetch(urls, host.entry, gone={"1", "2"})
    assert host.log == []
    assert data["status"].to_dict() == {"0": "ok", "1": "gone", "2": "gone"}
    assert set(data.loc[["1", "2"], "reason"]) == {"no longer listed"}
    assert [path.stem for path in stored()] == ["0"]
    # A photo that is listed again is fetched again.
    assert set(fetch(urls, host.entry)["status"]) == {"ok"}


def test_a_removed_photo_never_comes_back(host):
    host.plan = {f"/{n}": [send(picture(n))] for n in range(3)}
    urls = {str(n): f"{host.url}/{n}" for n in range(3)}
    fetch(urls, host.entry)
    forgotten.add(ids={"1"}, owners=(), aois={"rio"})
    host.log.clear()
    data = fetch(urls, host.entry, gone={"1"})
    assert host.log == []
    assert (data.loc["1", "status"], data.loc["1", "path"]) == ("gone", "")
    assert data.loc["1", "reason"] == "removed at its owner's request"
    assert [path.stem for path in stored() if path.suffix == ".jpg"] == ["0", "2"]


def test_a_gone_photo_is_requested_once_per_run(host):
    host.plan = {"/1": [send(b"", 404), send(GOOD)]}
    urls = {"1": f"{host.url}/1"}
    assert fetch(urls, host.entry).loc["1", "status"] == "gone"
    assert len(host.log) == 1
    assert fetch(urls, host.entry).loc["1", "status"] == "ok"
