"""The data set records its origin, without anything specific to this machine or its clock."""

import hashlib
import json
import subprocess
from importlib.metadata import version

import pytest

from witw import __version__, spec
from witw.config import Config
from witw.dataset.provenance import commit, provenance, public

AREA = {
    "city": "Bern",
    "bbox_deg": [7.4, 46.9, 7.5, 47.0],
    "satellite": "WorldView-3",
    "split": "train",
    "strips": ["/elsewhere/ann/strips/east.tif"],
    "scenes": {"checkpoint": "/elsewhere/ann/models/net.pth"},
    "search": {"snapshot": "2026-11-01T00:00:00Z"},
}
LIMA = {**AREA, "city": "Lima", "bbox_deg": [-77.1, -12.1, -77.0, -12.0]}
LIMA["chips"] = {"jpeg_quality": 80}
CONFIG = Config.model_validate({"aois": {"bern": AREA, "lima": LIMA}})


@pytest.fixture
def told(tmp_path):
    made = json.loads(spec.build(CONFIG, "dataset"))["made"]
    for name in ("bern", "lima", "net.pth"):
        (tmp_path / name).write_bytes(name.encode())
    inputs = {name: tmp_path / name for name in ("bern", "lima")}
    return provenance(made, {"shared": "keep"}, inputs, [tmp_path / "net.pth"])


def test_shared_settings_are_recorded_once_and_others_by_area(told):
    assert told["config"]["scenes"]["arch"] == "resnet18"
    assert told["config"]["search"]["snapshot"] == "2026-11-01T00:00:00Z"
    assert told["config"]["dataset"] == {"shared": "keep"}
    assert told["areas"]["bern"]["chips"]["jpeg_quality"] != 80
    assert told["areas"]["lima"]["chips"]["jpeg_quality"] == 80
    assert told["config"]["strips"][0]["path"] == "east.tif"
    assert "train" not in told["config"]


def test_inputs_and_weights_are_identified_by_sha256(told):
    for name in ("bern", "lima"):
        assert told["sha256"]["pairs"][name] == hashlib.sha256(name.encode()).hexdigest()
    assert told["sha256"]["weights"] == {"net.pth": hashlib.sha256(b"net.pth").hexdigest()}


def test_versions_of_software_and_stages_are_recorded(told):
    assert told["versions"]["witw"] == __version__
    assert told["versions"]["rasterio"] == version("rasterio")
    assert told["stages"] == {name: spec.literals(name)[0] for name in spec.MADE_BY}


def test_no_machine_detail_and_no_secret_is_recorded(told, tmp_path):
    assert str(tmp_path) not in json.dumps(told)
    assert "/elsewhere/ann" not in json.dumps(told)
    address = "https://ann:pw@host.example:8/a.tif?sig=token#x"
    assert public({"api_url": address}) == {"api_url": "https://host.example:8/a.tif"}
    assert public([{"path": address}]) == [{"path": "https://host.example:8/a.tif"}]


def test_the_commit_of_a_checkout_is_recorded(tmp_path):
    def git(*words):
        own = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *own, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert commit(tmp_path) is None
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "one")
    git("tag", "v1")
    head = git("rev-parse", "HEAD")
    assert commit(tmp_path) == head
    (tmp_path / "a").write_text("2")
    assert commit(tmp_path) == f"{head}-dirty"
