"""Every key of the config: changed for one area, it reruns the stages that read it there, and what
follows, and nothing else. Which stages these are is written down here, not taken from the code."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from witw import spec
from witw.config import Aoi, Config

REPO = Path(__file__).parents[2]

pytestmark = pytest.mark.workflow

PHOTOS = ["search", "shards_2", "download", "scenes", "chips", "pairs"]
IMAGERY = ["stats", "stretch", "rgb8", "utm", "mosaic", "chips", "pairs"]
MODEL = {"train", "index:bern", "index:lima", "evaluate", "release", "locate:lima", "report"}
JOINT = {"dataset", "pack"} | MODEL


def photos(first):
    """The stages from one of the photos' on, of an area."""
    return PHOTOS[PHOTOS.index(first) :]


def imagery(first):
    """Return an area's imagery stages from the given one on."""
    return IMAGERY[IMAGERY.index(first) :]


# key of an area -> another value, the area's stages that run again. All lead to the joint stages.
OF_AN_AREA = {
    "satellite": ("WorldView-3", ["pairs"]),
    "city": ("Another name", ["pairs"]),
    "imagery_license": ("CC-BY-SA-4.0", []),
    "bands": ([3, 2, 1], imagery("stats")),
    "nodata": ("none", imagery("stats")),
    "buffer_m": (300.0, [*photos("search"), *imagery("utm")]),
    "mosaic": ("best", imagery("mosaic")),
    "epsg": (32634, imagery("utm")),
    "photos": ({"folder": "pics"}, photos("search")),
    "search.snapshot": ("2026-11-02T00:00:00Z", photos("search")),
    "search.licenses": ([4], photos("search")),
    "search.box_total": (10_000, photos("search")),
    "search.audit": (0.0, photos("search")),
    "search.sweeps": (2, photos("search")),
    "download.max_megabytes": (10.0, photos("download")),
    "download.min_side_px": (100, photos("download")),
    "scenes.checkpoint": ("other.pth.tar", photos("scenes")),
    "scenes.sha256": ("0" * 64, photos("scenes")),
    "scenes.arch": ("wideresnet18", photos("scenes")),
    "stretch.low_pct": (1.0, imagery("stretch")),
    "stretch.high_pct": (99.0, imagery("stretch")),
    "stretch.eight_bit": ("stretch", imagery("stretch")),
    "utm.resampling": ("cubic", imagery("utm")),
    "utm.engine": ("gdal", imagery("utm")),
    "chips.jpeg_quality": (80, imagery("chips")),
    "chips.subsampling": (None, imagery("chips")),
    "pairs.max_blank_fraction": (0.2, ["pairs"]),
    "pairs.exclude": ("out.txt", ["pairs"]),
    "pairs.commercial_use": (True, ["pairs"]),
    "pairs.derivatives": (True, ["pairs"]),
    "pairs.share_alike": (False, ["pairs"]),
    "pairs.taken_from": ("2020-01-01", ["pairs"]),
    "pairs.taken_until": ("2021-01-01", ["pairs"]),
    "pairs.min_accuracy": (14, ["pairs"]),
    "pairs.min_edge_m": (200.0, ["pairs"]),
    "pairs.min_distance_m": (10.0, ["pairs"]),
    "pairs.max_per_owner": (50, ["pairs"]),
    "pairs.limit": (100, ["pairs"]),
    # Photos that the vote rejects get no chip.
    "pairs.min_outdoor_vote": (0.7, imagery("chips")),
    "pairs.min_outdoor_mass": (0.2, imagery("chips")),
}
# Another pace gives the same result, and a confirmation concerns only a stopped search.
OF_NOTHING = {"download.max_slots": 8, "search.confirm_gone": "2026-11-01T00:00:00Z"}
# key of the whole -> another value, the stages of every area, the joint stages.
OF_ALL = {
    "flickr.api_url": ("http://127.0.0.1:8/services/rest/", photos("search"), JOINT),
    "flickr.photo_hosts": (["farm1.staticflickr.com"], photos("search"), JOINT),
    "flickr.contact": ("someone@example.org", [], set()),
    "flickr.calls_per_hour": (1000, [], set()),
    "pack.chip_px": (64, [], JOINT - {"dataset"}),
    "pack.photo_px": (64, [], JOINT - {"dataset"}),
    "dataset.shared": ("photos", [], JOINT),
    "dataset.contact": ("ann@example.org", [], JOINT),
    "pack.jpeg_quality": (80, [], JOINT - {"dataset"}),
    "evaluate.queries": (500, [], {"evaluate", "release", "locate:lima", "report"}),
    "index.step_m": (
        14.0,
        [],
        {"index:bern", "index:lima", "evaluate", "release", "locate:lima", "report"},
    ),
    # A network has one chip size on the ground, so these two keys change everywhere or nowhere.
    "defaults.chips.size_px": (375, imagery("chips"), JOINT),
    "defaults.utm.gsd_m": (0.6, imagery("utm"), JOINT),
}
INDEXED = {"index:bern", "index:lima", "evaluate", "release", "locate:lima", "report"}
# stage -> those of every area that run again when its VERSION is raised, and the joint ones.
OF_VERSION = {
    **{stage: (photos(stage), JOINT) for stage in ("search", "download", "scenes")},
    "shards": (photos("shards_2"), JOINT),
    **{stage: (imagery(stage), JOINT) for stage in IMAGERY},
    "rgb8": (["rgb8"], set()),  # for GIS users; no stage reads it
    "dataset": ([], JOINT),
    "pack": ([], JOINT - {"dataset"}),
    "train": ([], MODEL),
    "index": ([], INDEXED),
    "release": ([], {"release", "locate:lima", "report"}),
    "evaluate": ([], {"evaluate", "release", "locate:lima", "report"}),
    "locate": ([], {"locate:lima", "report"}),
    "report": ([], {"report"}),
}
# Tested separately: the box moves the UTM zone; strips and shards change the jobs themselves.
ELSEWHERE = {"bbox_deg", "area", "strips", "shards", "split", "extent"}


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every key path of a section and of its subsections."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def put(node, path, value):
    """Set a key path of nested mappings."""
    *parents, last = path.split(".")
    for name in parents:
        node = node.setdefault(name, {})
    node[last] = value


def other(key):
    """Return the value to which a key of an area is changed."""
    value = OF_AN_AREA[key][0]
    if value is None:
        default = Aoi.model_fields[key.split(".")[0]].default
        value = {"4:4:4": "4:2:0", "4:2:0": "4:4:4"}[getattr(default, key.split(".")[1])]
    return value


def test_every_key_is_covered():
    areas = {f"defaults.{key}" for key in keys(Aoi)}
    told = {f"defaults.{key}" for key in OF_AN_AREA | OF_NOTHING | dict.fromkeys(ELSEWHERE)}
    # `model` has separate tests, because it plans another flow.
    whole = {key for key in keys(Config) if key not in ("aois", "model")} | areas
    assert whole == told | set(OF_ALL) | {key for key in whole if key.startswith("train.")}


# An area's jobs are independent: one plan changes three keys, each in another area.
TRIPLES = [list(OF_AN_AREA)[n : n + 3] for n in range(0, len(OF_AN_AREA), 3)]


@pytest.mark.parametrize("chosen", TRIPLES, ids=" ".join)
def test_a_key_of_one_area_reruns_its_stages(finished, chosen):
    finished.touch("other.pth.tar")
    finished.touch("pics/one.jpg")
    finished.touch("out.txt")
    expected = set(JOINT)

    def change(config):
        for area, key in zip(("oslo", "bern", "lima"), chosen, strict=False):
            put(config["aois"][area], key, other(key))
            expected.update(f"{stage}:{area}" for stage in OF_AN_AREA[key][1])

    assert finished.plan(change) == expected


@pytest.mark.parametrize("key", OF_ALL)
def test_a_global_key_reruns_its_stages(finished, key):
    value, stages, joint = OF_ALL[key]
    planned = finished.plan(lambda config: put(config, key, value))
    assert planned == joint | {f"{s}:{a}" for s in stages for a in ("oslo", "bern", "lima")}


@pytest.mark.parametrize("key", OF_NOTHING)
def test_a_key_without_effect_on_results_reruns_nothing(finished, key):
    def change(config):
        put(config["aois"]["oslo"], key, OF_NOTHING[key])

    assert finished.plan(change) == set()


@pytest.mark.parametrize("stage", OF_VERSION)
def test_a_raised_version_reruns_its_stage(finished, tmp_path, stage):
    shutil.copytree(REPO / "src" / "witw", tmp_path / "witw")
    module = Path(spec.find_spec(spec.STAGES[stage]).origin).relative_to(REPO / "src")
    source = (tmp_path / module).read_text()
    version = spec.literals(stage)[0]
    raised = source.replace(f"\nVERSION = {version}\n", f"\nVERSION = {version + 1}\n")
    assert raised != source
    (tmp_path / module).write_text(raised)
    planned = finished.plan(env={"PYTHONPATH": str(tmp_path)})
    stages, joint = OF_VERSION[stage]
    assert planned == joint | {f"{s}:{a}" for s in stages for a in ("oslo", "bern", "lima")}


def test_every_version_is_covered():
    # Not planned here: fetched files, the folds of leave_one_out, exports.
    other = {"weights", "backbone", "fetch_model", "resplit", "leave_one_out"}
    other |= {"export_folder", "export_webdataset", "export_hf"}
    assert set(spec.STAGES) == set(OF_VERSION) | other


def test_all_settings_of_training_reach_it(finished):
    """Any change of section `train` reruns it: one job reads all of them in one string."""

    def change(config):
        config["train"] = {"seed": 1}

    assert finished.plan(change) == MODEL


def test_the_box_reruns_the_search_and_the_cut(finished):
    def change(config):
        config["aois"]["lima"]["bbox_deg"] = [-77.1, -12.1, -77.0, -12.01]

    planned = finished.plan(change)
    assert planned == {f"{stage}:lima" for stage in PHOTOS} | JOINT


def test_a_shapes_file_reruns_only_its_area(finished):
    file = finished.folder / "lima.geojson"
    ring = [[-77.1, -12.1], [-77.0, -12.1], [-77.05, -12.0], [-77.1, -12.1]]

    def change(config):
        del config["aois"]["lima"]["bbox_deg"]
        config["aois"]["lima"]["area"] = "lima.geojson"

    def planned(corners):
        file.write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
        return finished.plan(change)

    expected = {f"{stage}:lima" for stage in [*PHOTOS, *imagery("utm")]} | JOINT
    assert planned(ring) == expected


def test_a_strip_may_be_renamed_added_and_removed(finished):
    def rename(config):
        config["aois"]["oslo"]["strips"] = [{"path": "strips/oslo.tif", "name": "east"}]

    def add(config):
        config["aois"]["oslo"]["strips"].append("strips/graz.tif")

    def remove(config):
        del config["aois"]["bern"]["strips"][1]

    def of(area, first):
        return {f"{stage}:{area}" for stage in imagery(first)} | JOINT

    assert finished.plan(rename) == of("oslo", "stats")
    assert finished.plan(add) == of("oslo", "stats")
    assert finished.plan(remove) == of("bern", "stretch")


def test_another_order_of_strips_reruns_the_mosaic(finished):
    def change(config):
        config["aois"]["bern"]["strips"].reverse()

    planned = finished.plan(change)
    assert planned == {f"{stage}:bern" for stage in imagery("mosaic")} | JOINT


def test_a_renamed_area_is_a_new_one(finished):
    def change(config):
        config["aois"]["graz"] = copy.deepcopy(config["aois"]["oslo"])
        del config["aois"]["oslo"]

    renamed = finished.plan(change)
    assert renamed == JOINT | {f"{stage}:graz" for stage in [*PHOTOS, *imagery("stats")]}


def test_a_changed_split_reruns_the_joint_stages(finished):
    def change(config):
        box = [10.9, 59.9, 11.0, 59.95]  # east of Oslo's: splits may not share ground
        config["aois"]["graz"] = copy.deepcopy(config["aois"]["oslo"]) | {"bbox_deg": box}
        config["aois"]["oslo"]["split"] = "test"

    planned = finished.plan(change)
    of_oslo = {job for job in planned if job.endswith(":oslo")}
    assert of_oslo == {"pairs:oslo", "index:oslo", "locate:oslo"}
