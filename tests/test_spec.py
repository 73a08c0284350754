import importlib
import json
from pathlib import Path

import pytest
import yaml

from witw import paths, spec
from witw import stage as stage_module
from witw.config import load
from witw.errors import UserError

RAW = {
    "aois": {
        "oslo": {
            "bbox_deg": [10.7, 59.9, 10.8, 59.95],
            "bands": [3, 2, 1],
            "nodata": 7,
            "strips": ["a.tif", {"path": "b.tif", "bands": [1, 2, 3], "nodata": "none"}],
        },
        "bern": {"bbox_deg": [7.4, 46.9, 7.5, 46.97], "strips": ["c.tif"]},
    }
}
PER_STRIP = ("stats", "rgb8", "utm")
JOINT = (
    "dataset",
    "export_folder",
    "export_webdataset",
    "export_hf",
    "pack",
    "backbone",
    "train",
    "evaluate",
    "report",
)


def build(config, stage):
    """Return a spec of the stage, as the rules request it."""
    if stage == "weights":
        return spec.build(config, stage, None, next(iter(paths.weights(config))))
    if stage in JOINT:
        return spec.build(config, stage)
    return spec.build(config, stage, "oslo", "b" if stage in PER_STRIP else None)


@pytest.mark.parametrize("stage", spec.STAGES)
def test_literals_equal_the_modules_values_at_run_time(stage):
    module = importlib.import_module(spec.STAGES[stage])
    assert spec.literals(stage) == (module.VERSION, tuple(module.READS))
    assert module.VERSION >= 1


@pytest.mark.parametrize("stage", spec.STAGES)
def test_a_spec_is_canonical_json_of_the_keys_that_are_read(stage):
    text = build(load(RAW), stage)
    value = json.loads(text)
    assert text == json.dumps(value, sort_keys=True, separators=(",", ":"))
    version, reads = spec.literals(stage)
    assert value.pop("stage") == stage
    assert value.pop("version") == version
    value.pop("aoi", None)
    # With Flickr's photos only, the spec has no other hosts, and a box has no shape.
    assert set(value) == {path.split(".")[0] for path in reads} - {"photo_hosts", "shape"}


def test_a_key_path_selects_only_that_key():
    value = json.loads(build(load(RAW), "chips"))
    assert value["pairs"] == {"min_outdoor_mass": 0.0, "min_outdoor_vote": 0.5}


def test_a_strip_comes_with_its_bands_and_nodata_resolved():
    config = load(RAW)
    first = json.loads(spec.build(config, "stats", "oslo", "a"))["strip"]
    second = json.loads(spec.build(config, "stats", "oslo", "b"))["strip"]
    assert (first["bands"], first["nodata"]) == ([3, 2, 1], 7)
    assert (second["bands"], second["nodata"]) == ([1, 2, 3], "none")


def test_the_needs_of_chips_are_absent_if_everything_is_read():
    assert json.loads(build(load(RAW), "utm"))["need_px"] is None
    sparse = RAW["aois"]["oslo"] | {"extent": "photos", "chips": {"size_px": 400}}
    assert json.loads(build(load({"aois": {"oslo": sparse}}), "utm"))["need_px"] == 400


def test_the_spec_of_one_area_does_not_depend_on_another():
    raw = {"aois": dict(RAW["aois"])}
    before = {s: build(load(raw), s) for s in spec.STAGES if s not in JOINT}
    raw["aois"]["bern"] = {**raw["aois"]["bern"], "shards": 3, "utm": {"resampling": "cubic"}}
    assert {s: build(load(raw), s) for s in before} == before


def test_no_spec_holds_a_secret(monkeypatch):
    monkeypatch.setenv("FLICKR_API_KEY", "top-secret")
    config = load(RAW)
    assert not [stage for stage in spec.STAGES if "top-secret" in build(config, stage)]


def test_every_stage_can_be_specified_for_the_committed_config():
    raw = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())
    config = load(raw)
    for name, area in config.aois.items():
        for stage in set(spec.STAGES) - set(JOINT) - {"weights"}:
            part = area.strips[0].name if stage in PER_STRIP else None
            assert (
                stage_module.parse_spec(spec.build(config, stage, name, part), stage)["aoi"] == name
            )


def test_a_foreign_or_broken_spec_is_refused():
    with pytest.raises(UserError, match="not a spec of stage 'chips'"):
        stage_module.parse_spec('{"stage": "pairs"}', "chips")
    with pytest.raises(UserError, match="not JSON"):
        stage_module.parse_spec("{", "chips")


def of_sources(stage, photos):
    """Return the spec of an area with these sources."""
    area = RAW["aois"]["oslo"] | {"photos": photos}
    return json.loads(spec.build(load({**RAW, "aois": {"oslo": area}}), stage, "oslo"))


def test_a_search_depends_on_the_keys_its_sources_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "search" not in of_sources("search", {"folder": "pics"})
    assert "flickr" not in of_sources("search", {"table": "t.csv"})
    mine = of_sources("search", {"yfcc100m": "y.bz2"})
    assert set(mine["search"]) == {"licenses"}
    assert set(mine["flickr"]) == {"photo_hosts"}
    both = of_sources("search", ["flickr", {"yfcc100m": "y.bz2"}])
    assert {"snapshot", "licenses"} <= set(both["search"])
    assert [source["kind"] for source in both["sources"]] == ["flickr", "yfcc100m"]


def test_hosts_rerun_only_the_download():
    table = {"table": "t.csv"}
    listed = {"table": "t.csv", "hosts": ["b.example", "a.example"]}
    assert of_sources("search", table) == of_sources("search", listed)
    assert of_sources("download", table)["photo_hosts"] == ["*"]
    assert of_sources("download", listed)["photo_hosts"] == ["a.example", "b.example"]
    assert "photo_hosts" not in of_sources("download", ["flickr", {"folder": "pics"}])


def test_a_changed_folder_reruns_the_search(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = of_sources("search", {"folder": "pics"})
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.jpg").write_bytes(b"x")
    assert of_sources("search", {"folder": "pics"}) != before
