"""Leave-one-city-out: a separate folder, the usual rules, and no trace in a normal run."""

import re

import pytest

pytestmark = pytest.mark.workflow


def folds_of(done, rule):
    """Return the outputs of a rule's jobs."""
    return set(re.findall(rf"^    rule: {rule} .*\n    output: (\S+)", done.stdout, re.M))


def test_every_city_is_the_test_city_once(finished):
    done = finished.snakemake("leave_one_out", "-n")
    assert done.returncode == 0, done.stderr
    names = ("oslo", "bern", "lima")
    assert folds_of(done, "loo_train") == {f"results/loo/{n}/model.safetensors" for n in names}
    assert folds_of(done, "loo_evaluate") == {f"results/loo/{n}/metrics.json" for n in names}
    # Each fold indexes its validation and its test city; nothing of the normal run runs again.
    assert folds_of(done, "loo_index") == {
        f"results/loo/{fold}/index/{aoi}.safetensors"
        for fold, val in (("bern", "lima"), ("lima", "oslo"), ("oslo", "bern"))
        for aoi in (fold, val)
    }
    rules = {job.split(":")[0] for job in done.jobs}
    assert rules == {
        "resplit", "loo_pack", "loo_train", "loo_index", "loo_evaluate", "leave_one_out"
    }  # fmt: skip


def test_folds_use_their_own_files_and_leave_the_rest_alone(finished, tmp_path):
    workplace = finished.copy(tmp_path / "place")
    done = workplace.snakemake("leave_one_out", "--cores", 2, "--no-hooks", "-p")
    assert done.returncode == 0, done.stderr
    shells = [
        line for line in (done.stdout + done.stderr).splitlines() if "witw.cvig.train" in line
    ]
    assert len(shells) == 3
    for line in shells:
        fold = re.search(r"--model results/loo/(\w+)/model.safetensors", line)[1]
        assert f'--train "$(dirname results/loo/{fold}/pack/train/pictures.arrow)"' in line
    assert (workplace.folder / "results/loo/table.csv").exists()
    # The packed copies, as large as the data set, and the indexes are gone.
    assert not list((workplace.folder / "results/loo").rglob("*.arrow"))
    assert not list((workplace.folder / "results/loo").rglob("index/*.safetensors"))
    assert workplace.snakemake("-n").jobs == set()
    assert workplace.snakemake("leave_one_out", "-n").jobs == set()
