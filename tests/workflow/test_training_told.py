"""Before the first job: the network, the device, the duration, the size and advice."""

import pytest

pytestmark = pytest.mark.workflow


def test_only_a_run_with_training_announces_it(finished, tmp_path):
    def train(config):
        config["train"] = {"epochs": 3}

    place = finished.copy(tmp_path / "place")
    path = place.configure(train, "changed.yaml")
    for args in (("-n",), ("--cores", 2)):
        done = place.snakemake(*args, "--configfile", path)
        assert done.returncode == 0, done.stderr
        told = [line for line in done.text.splitlines() if line.startswith("Training: ")]
        assert len(told) == 1
        assert "small, from scratch; 3 epochs of all pairs" in told[0]
    assert done.stderr.index(told[0]) < done.stderr.index("Training the network")
    again = place.snakemake("-n", "--configfile", path)
    assert "Training: " not in again.text


def test_a_network_that_does_not_exist_stops_before_the_first_job(finished, tmp_path):
    def strange(config):
        config["train"] = {"backbone": "vit_of_no_size"}

    place = finished.copy(tmp_path / "place")
    path = place.configure(strange, "changed.yaml")
    done = place.snakemake("--cores", 2, "--configfile", path)
    assert done.returncode == 1
    (line,) = done.complaints
    assert "timm has no model 'vit_of_no_size'" in line
    assert "train" not in done.jobs
