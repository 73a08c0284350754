"""Weights from outside are fetched first, by one target, and rerun their stages on a change."""

import os
import time

import pytest
from test_every_key import MODEL

pytestmark = pytest.mark.workflow

URL = "http://127.0.0.1:9/resnet18_places365.pth.tar"


def from_timm(config):
    config["train"] = {"backbone": "test_vit", "weights": "timm"}


def test_one_target_fetches_everything(workplace):
    def change(config):
        from_timm(config)
        config["defaults"]["scenes"]["checkpoint"] = URL
        config["aois"]["oslo"]["scenes"] = {"checkpoint": "places.pth.tar"}

    workplace.configure(change)
    done = workplace.snakemake("weights", "--cores", 1, "--no-hooks", key=None)
    assert done.returncode == 0, done.stderr
    assert done.jobs == {"places365", "backbone"}
    names = sorted(path.name for path in (workplace.folder / "models").iterdir())
    assert len(names) == 2
    assert names[0].endswith("_resnet18_places365.pth.tar")
    assert names[1] == "test_vit.safetensors"


def test_without_fetched_files_there_is_nothing_to_do(workplace):
    done = workplace.snakemake("weights", "--cores", 1, "--no-hooks", key=None)
    assert done.returncode == 0, done.stderr
    assert done.jobs == set()


def test_weights_from_timm_are_a_job_of_their_own(finished):
    assert finished.plan(from_timm) == MODEL | {"backbone"}


def test_training_reads_the_fetched_file(workplace):
    path = workplace.configure(from_timm, "changed.yaml")
    done = workplace.snakemake("-np", "--no-hooks", "--configfile", path)
    (line,) = [line for line in done.text.splitlines() if "witw.cvig.train " in line]
    assert " --weights models/test_vit.safetensors --model " in line


def test_changed_weights_rerun_the_training(finished, tmp_path):
    def local(config):
        config["train"] = {"backbone": "test_vit", "weights": "own.safetensors"}

    place = finished.copy(tmp_path / "place")
    place.touch("own.safetensors")
    place.configure(local)
    done = place.snakemake("--cores", 2, "--no-hooks")
    assert done.returncode == 0, done.stderr
    assert "backbone" not in done.jobs
    assert place.plan(local) == set()
    later = time.time() + 5
    os.utime(place.folder / "own.safetensors", (later, later))
    (place.folder / "own.safetensors").write_text("others")
    os.utime(place.folder / "own.safetensors", (later, later))
    assert place.plan(local) == MODEL


def test_a_missing_weights_file_is_reported(workplace):
    def absent(config):
        config["train"] = {"backbone": "test_vit", "weights": "absent.pth"}

    workplace.configure(absent)
    done = workplace.snakemake("-n", "--no-hooks")
    assert done.returncode == 1
    (told,) = done.complaints
    assert "`train.weights` absent.pth does not exist" in told
    assert "test_vit" in told
