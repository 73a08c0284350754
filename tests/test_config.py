import copy
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from witw.config import Config, load
from witw.errors import UserError
from witw.settings.search import Search

REPO = Path(__file__).parents[1]
AREA = {"bbox_deg": [10.7, 59.9, 10.8, 59.95], "strips": ["oslo.tif"]}
RAW = {"defaults": {"shards": 4, "chips": {"size_px": 500}}, "aois": {"oslo": AREA}}


def changed(**area):
    raw = copy.deepcopy(RAW)
    raw["aois"]["oslo"] |= area
    return raw


def complaint(raw):
    with pytest.raises(UserError) as caught:
        load(raw, "my.yaml")
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_an_area_overrides_defaults_key_by_key():
    area = load(changed(chips={"jpeg_quality": 80})).aois["oslo"]
    assert (area.chips.size_px, area.chips.jpeg_quality) == (500, 80)
    assert area.shards == 4


def test_lists_are_replaced_not_merged():
    raw = changed(bands=[1, 2, 3])
    raw["defaults"]["bands"] = [7, 5, 2]
    assert load(raw).aois["oslo"].bands == (1, 2, 3)


def test_loading_leaves_the_given_mapping_alone():
    raw = copy.deepcopy(RAW)
    load(raw)
    assert raw == RAW


def test_the_city_is_named_after_the_area_unless_given():
    assert load(RAW).aois["oslo"].city == "Oslo"
    assert load(changed(city="Christiania")).aois["oslo"].city == "Christiania"


@pytest.mark.parametrize(
    ("area", "words"),
    [
        ({"shard": 3}, ["'oslo'", "unknown key `shard`", "`shards`"]),
        ({"chips": {"sise_px": 3}}, ["'oslo'", "unknown key `chips.sise_px`", "`size_px`"]),
        ({"zzz": 1}, ["'oslo'", "`zzz`", "docs/config.md"]),
        ({"bbox_deg": [2, 0, 1, 1]}, ["'oslo'", "`bbox_deg`", "west 2.0", "east 1.0"]),
        ({"bbox_deg": [0, 2, 1, 1]}, ["'oslo'", "south 2.0", "north 1.0"]),
        ({"bbox_deg": [0, 80, 1, 85]}, ["'oslo'", "`bbox_deg`", "84"]),
        ({"bbox_deg": [0, 80, 1]}, ["'oslo'", "`bbox_deg"]),
        ({"strips": []}, ["'oslo'", "`strips`"]),
        ({"strips": ["a/x.tif", "b/x.tif"]}, ["'oslo'", "'x'", "`name`"]),
        ({"bands": [0, 1, 2]}, ["'oslo'", "`bands"]),
        ({"stretch": {"low_pct": 98, "high_pct": 2}}, ["'oslo'", "`stretch`", "low_pct 98.0"]),
        ({"split": "testing"}, ["'oslo'", "`split`"]),
        ({"mosaic": "bestest"}, ["'oslo'", "`mosaic`", "'best'"]),
        ({"extent": "photos", "split": "test"}, ["'oslo'", "`extent: photos`", "`extent: all`"]),
        ({"extent": "photos", "split": "val"}, ["'oslo'", "`extent: photos`", "`extent: all`"]),
    ],
)
def test_a_mistake_in_an_area_is_one_sentence_that_names_file_area_and_key(area, words):
    text = complaint(changed(**area))
    assert text.startswith("my.yaml: ")
    assert not [word for word in words if word not in text], text


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({}, ["`aois`"]),
        ({"aois": {}}, ["`aois`"]),
        ({"aois": {"oslo": {"strips": ["x.tif"]}}}, ["'oslo'", "`bbox_deg` is missing"]),
        ({"aois": {"oslo": None}}, ["'oslo'", "mapping"]),
        ({"aois": {"Oslo": AREA}}, ["'Oslo'", "lower-case"]),
        ({"aois": {"../oslo": AREA}}, ["'../oslo'"]),
        ({"aois": {"dataset": AREA}}, ["'dataset'"]),
        ({"aois": {"oslo": AREA}, "defaults": {"shard": 1}}, ["`defaults.shard`", "`shards`"]),
        ({"aois": {"oslo": AREA}, "trian": {}}, ["`trian`", "`train`"]),
    ],
)
def test_a_mistake_elsewhere_is_named_too(raw, words):
    text = complaint(raw)
    assert not [word for word in words if word not in text], text


def test_a_mistake_in_the_defaults_is_named_once_and_not_blamed_on_an_area():
    raw = copy.deepcopy(RAW)
    raw["defaults"]["chips"] = {"size": 750}
    assert "oslo" not in complaint(raw)


def test_strips_are_named_after_their_file_or_folder():
    area = load(changed(strips=["a/B-1.vrt", "s3://bucket/Mosaic_3band/*.tif"])).aois["oslo"]
    assert [strip.name for strip in area.strips] == ["b_1", "mosaic_3band"]


@pytest.mark.parametrize(
    "path",
    [
        "https://me:secret1@host/a.tif",
        "https://host/a.tif?x=1&X-Amz-Signature=secret1",
        "https://host/a.tif?token=secret1",
    ],
)
def test_credentials_in_a_path_are_refused_and_not_repeated(path):
    text = complaint(changed(strips=[path]))
    assert "'oslo'" in text and "AWS_SECRET_ACCESS_KEY" in text and "secret1" not in text


def test_a_snapshot_without_a_zone_is_utc():
    raw = changed(search={"snapshot": "2026-03-01T12:00:00"})
    dumped = load(raw).aois["oslo"].search.model_dump(mode="json")
    assert dumped["snapshot"] == "2026-03-01T12:00:00Z"


def test_areas_of_different_ground_size_are_refused_where_a_network_is_trained():
    raw = changed()
    raw["aois"]["bern"] = {**AREA, "utm": {"gsd_m": 0.5}}
    with pytest.raises(UserError, match="bern"):
        _ = load(raw).chip_m
    assert load(RAW).chip_m == pytest.approx(150)


def test_the_committed_config_is_valid_and_complete():
    config = load(yaml.safe_load((REPO / "config.yaml").read_text()))
    assert isinstance(config, Config)
    assert len(config.aois) == 11
    assert {area.split for area in config.aois.values()} == {"train", "val", "test"}
    assert config.chip_m == pytest.approx(225)


def test_a_job_makes_only_the_models_of_the_sections_it_reads():
    ask = "import json, sys, witw.sources.download; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True)
    found = [n for n in json.loads(done.stdout) if n.startswith(("witw.settings.", "witw.config"))]
    assert found == ["witw.settings.base", "witw.settings.download"]


def test_the_check_of_a_command_line_loads_no_models():
    """Snakemake loads it with its logger plugins, at the start of every command."""
    ask = "import json, sys, witw.mistakes.command_line; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True)
    assert not {"pydantic", "numpy", "witw.config"} & set(json.loads(done.stdout))


def test_a_snapshot_in_the_future_is_refused():
    ahead = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    with pytest.raises(ValidationError, match="lies in the future"):
        Search(snapshot=ahead)
    assert Search(snapshot=datetime.now(UTC) - timedelta(seconds=1))
