"""Reruns caused by a change, as listed by `snakemake -n`, with real rules and stub stages."""

import os
import shutil
import time
from pathlib import Path

import pytest

from witw import spec

REPO = Path(__file__).parents[2]
EXPORTS = ("export_folder", "export_webdataset", "export_hf")
pytestmark = pytest.mark.workflow

# Stages after the pairs of any area: the joint stages, the indexes and the map.
JOINT = {
    "dataset", "pack", "train", "index:bern", "index:lima", "evaluate", "release", "locate:lima",
    "report",
}  # fmt: skip


def jobs(aoi, *stages):
    return {f"{stage}:{aoi}" for stage in stages}


def test_one_key_of_one_area_reruns_that_area_from_its_stage_on(finished):
    def quality(config):
        config["aois"]["oslo"]["chips"] = {"jpeg_quality": 80}

    assert finished.plan(quality) == jobs("oslo", "chips", "pairs") | JOINT


def test_a_stage_run_again_up_to_itself_with_the_same_result_reruns_nothing_more(
    finished, tmp_path
):
    """Its table is newer than later outputs, and larger than Snakemake's 1 MB limit."""
    place = finished.copy(tmp_path / "place")
    assert (place.folder / "results/oslo/photos.parquet").stat().st_size > 1_000_000
    done = place.snakemake("--cores", 1, "--no-hooks", "-R", "search", "--until", "shards_2")
    assert done.returncode == 0, done.stderr
    areas = ("oslo", "bern", "lima")
    assert done.jobs == {job for area in areas for job in jobs(area, "search", "shards_2")}
    assert place.plan() == set()


def test_chips_removed_by_a_failed_run_are_cut_again(finished, tmp_path):
    """Snakemake does not notice a missing intermediate file; the chips are results themselves."""
    place = finished.copy(tmp_path / "place")
    shutil.rmtree(place.folder / "results/bern/chips/0001")
    (place.folder / "results/bern/chips/0001.parquet").unlink()
    assert place.plan() == jobs("bern", "chips", "pairs") | JOINT


def test_a_threshold_redoes_the_join_and_no_search_download_or_warp(finished):
    def blank(config):
        config["aois"]["bern"]["pairs"] = {"max_blank_fraction": 0.2}

    assert finished.plan(blank) == jobs("bern", "pairs") | JOINT


def test_a_key_of_one_strip_reruns_that_strip_alone(finished):
    def bands(config):
        config["aois"]["bern"]["strips"][1] = {"path": "strips/bern_2.tif", "bands": [1, 2, 3]}

    path = finished.configure(bands, "changed.yaml")
    done = finished.snakemake(
        "results/bern/strips/bern_1.stats.json", "results/bern/strips/bern_2.stats.json",
        "-n", "--configfile", path,
    )  # fmt: skip
    assert done.jobs == {"stats:bern"}
    assert "    output: results/bern/strips/bern_2.stats.json" in done.stdout
    assert "    output: results/bern/strips/bern_1.stats.json" not in done.stdout


def test_two_values_swapped_are_a_change(finished):
    def swap(config):
        pack = config["pack"]
        pack["chip_px"], pack["photo_px"] = pack["photo_px"], pack["chip_px"]

    assert finished.plan(swap) == JOINT - {"dataset"}


def test_the_order_of_keys_and_explicit_defaults_rerun_nothing(finished):
    def rewrite(config):
        config["aois"] = {
            name: dict(reversed(area.items())) for name, area in reversed(config["aois"].items())
        }
        config["aois"]["oslo"] |= {"utm": {"gsd_m": 0.3}, "satellite": ""}

    assert finished.plan(rewrite) == set()


def test_another_area_runs_its_own_jobs_and_the_joint_ones(finished):
    def add(config):
        config["aois"]["graz"] = {
            "bbox_deg": [15.4, 47.0, 15.5, 47.1],
            "strips": ["strips/graz.tif"],
        }

    stages = [
        "search", "shards_2", "download", "scenes", "stats", "stretch", "rgb8", "utm", "mosaic",
        "chips", "pairs",
    ]  # fmt: skip
    assert finished.plan(add) == jobs("graz", *stages) | JOINT


def test_an_area_removed_redoes_the_joint_ones(finished, tmp_path):
    def add(config):
        config["aois"]["graz"] = config["aois"]["oslo"] | {"strips": ["strips/graz.tif"]}

    place = finished.copy(tmp_path / "place")
    place.configure(add)
    done = place.snakemake("--cores", 2, "--no-hooks")
    assert done.returncode == 0, done.stderr
    assert place.plan(add) == set()
    assert place.plan() == JOINT


def test_another_rule_for_overlaps_redoes_the_mosaic_and_no_warp(finished):
    def best(config):
        config["aois"]["bern"]["mosaic"] = "best"

    assert finished.plan(best) == jobs("bern", "mosaic", "chips", "pairs") | JOINT


def test_an_area_read_for_its_photos_waits_only_for_them(finished):
    def sparse(config):
        config["aois"]["oslo"]["extent"] = "photos"

    imagery = ["stats", "stretch", "rgb8", "utm", "mosaic"]
    assert finished.plan(sparse) == jobs("oslo", *imagery, "chips", "pairs") | JOINT
    path = finished.configure(sparse, "changed.yaml")
    target = "results/oslo/strips/oslo.utm.tif"
    done = finished.snakemake(target, "-np", "--configfile", path)
    assert "--photos results/oslo/photos.parquet --tif" in utm_command(done)
    # The spec of a full read does not depend on the chip size; that of a partial read does.
    full = finished.snakemake("results/bern/strips/bern_1.utm.tif", "-np", "--forceall")
    assert "photos.parquet" not in utm_command(full)


def utm_command(done):
    """Return the command of the plan's one `utm` job."""
    (line,) = [line for line in done.text.splitlines() if "witw.imagery.utm" in line]
    return line


def test_another_number_of_shards_reshards_that_area_without_a_search(finished):
    def shards(config):
        config["aois"]["oslo"]["shards"] = 3

    expected = jobs("oslo", "shards_3", "download", "scenes", "chips", "pairs")
    assert finished.plan(shards) == expected | JOINT


def test_training_settings_touch_no_area(finished):
    def rate(config):
        config["train"] = {"learning_rate": 0.001}

    planned = finished.plan(rate)
    assert planned == JOINT - {"dataset", "pack"}


def test_another_api_key_and_a_touched_config_rerun_nothing(finished):
    os.utime(finished.folder / "config.yaml")
    done = finished.snakemake("-n", key="rotated")
    assert done.returncode == 0
    assert done.jobs == set()


def test_a_changed_strip_file_reruns_its_area(finished):
    strip = finished.folder / "strips" / "oslo.tif"
    strip.write_text("other bytes")
    planned = finished.plan()
    strip.write_text("")
    imagery = ["stats", "stretch", "rgb8", "utm", "mosaic"]
    assert planned == jobs("oslo", *imagery, "chips", "pairs") | JOINT


def test_touched_files_rerun_nothing(finished, tmp_path):
    """All have new times, in the reverse order of their creation."""
    place = finished.copy(tmp_path / "place")
    tops = ("results", "strips", "places.pth.tar")
    paths = [
        path for top in tops for path in (place.folder / top, *(place.folder / top).rglob("*"))
    ]
    paths = sorted((path for path in paths if path.is_file()), key=lambda p: -p.stat().st_mtime)
    for number, path in enumerate(paths):
        os.utime(path, (time.time() + number, time.time() + number))
    assert len(paths) > 50
    assert place.plan() == set()


def test_the_key_is_written_nowhere(finished):
    assert "key: present" in (finished.folder / "logs/oslo/search.log").read_text()
    files = [path for path in finished.folder.rglob("*") if path.is_file()]
    assert any(".snakemake" in path.parts for path in files)
    assert not [path for path in files if b"top-secret" in path.read_bytes()]


def test_the_committed_config_plans_every_stage_without_a_key(workplace):
    # If no server responds, the plan is made anyway, and reports that for each strip.
    away = {"AWS_S3_ENDPOINT": "127.0.0.1:9", "AWS_HTTPS": "NO"}
    done = workplace.snakemake("-n", "--configfile", REPO / "config.yaml", key=None, env=away)
    assert done.stderr.count("the server cannot be reached") == 11
    assert done.returncode == 0, done.stderr
    rules = {job.split(":")[0] for job in done.jobs}
    asked_for = {"resplit", "leave_one_out", "fetch_model", *EXPORTS}  # by name, or by `model:`
    stage_of = {"places365": "weights"}  # `weights` itself is the target of all that is fetched
    planned = {"shards" if r.startswith("shards_") else stage_of.get(r, r) for r in rules}
    assert planned == set(spec.STAGES) - asked_for
    searched = {job.split(":")[1] for job in done.jobs if job.startswith("search:")}
    assert len(searched) == 11


def test_the_slurm_profile_asks_for_a_gpu_and_keeps_the_default_profile(workplace):
    done = workplace.snakemake(
        "-n",
        "--no-hooks",
        "--profile",
        REPO / "profiles" / "slurm",
        program=Path(__file__).parent / "resources.py",
    )
    assert done.returncode == 0, done.stderr
    (train,) = [line for line in done.stdout.splitlines() if line.startswith("RESOURCES train ")]
    assert "'gpu': 1" in train
    assert "'slurm_partition': 'gpu'" in train
    assert "workflow specific profile" in done.stderr


def test_a_training_over_nodes_is_one_job_with_a_task_on_each(workplace):
    def planned(*asked):
        profile = ["--profile", REPO / "profiles" / "slurm"]
        program = Path(__file__).parent / "resources.py"
        return workplace.snakemake("-n", "--no-hooks", *profile, *asked, program=program)

    done = planned("leave_one_out", "--set-resources", "train:nodes=2", "train:gpu=4")
    assert done.returncode == 0, done.stderr
    found = [line for line in done.stdout.splitlines() if line.startswith("RESOURCES loo_train")]
    assert found and all("'nodes': 1" in line and "'mpi'" not in line for line in found)
    done = planned("--set-resources", "train:nodes=2", "train:gpu=4")
    (train,) = [line for line in done.stdout.splitlines() if line.startswith("RESOURCES train ")]
    for text in ("'nodes': 2", "'tasks': 2", "'mpi': 'srun'", "'gpu': 4", "--gpus-per-node=2"):
        assert text in train
    done = planned("--set-resources", "train:nodes=2")
    assert "witw: Resource `gpu` of rule `train` is 1, which 2 nodes cannot share" in done.stderr


def test_the_number_of_nodes_reruns_nothing(finished):
    asked = ("--set-resources", "train:nodes=2", "train:gpu=2")
    assert finished.snakemake("-n", "--no-hooks", *asked).jobs == set()
