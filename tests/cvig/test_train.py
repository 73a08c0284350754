import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from made_pairs import SMALL, SPEC, write_pack

from witw.cvig import metrics, train
from witw.cvig.network.model import Model
from witw.cvig.training.optimizer import one_cycle
from witw.cvig.training.trainer import Trainer
from witw.errors import UserError


def spec(**changes):
    return SPEC | {"train": SMALL.model_copy(update=changes).model_dump()}


def forget_results(folder):
    """Delete stored results, so that the next training does not reuse them."""
    for kept in folder.glob("checkpoints/*/result.json"):
        kept.unlink()


def fit(folder, tag="", anew=True, **changes):
    """Train; with ``anew``, ignore the stored result of an earlier training on the same pairs."""
    model, lines = folder / f"model{tag}.pt", folder / f"metrics{tag}.jsonl"
    if anew:
        forget_results(folder)
    train.run(spec(**changes), folder / "train", folder / "val", model, lines)
    return model, lines


def test_training_memorises_32_pairs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pack(tmp_path / "train", 32, 1)
    write_pack(tmp_path / "val", 12, 2)
    plain = {"shift_m": 0, "zoom": 0, "colour": 0, "erase": 0, "fov_jitter": 0, "dropout": 0}
    _, lines = fit(tmp_path, epochs=40, **plain)
    losses = [json.loads(line)["loss"] for line in lines.read_text().splitlines()]
    assert losses[0] > 2
    assert losses[-1] < 0.2


def test_training_generalises_to_unseen_places_and_headings(trained):
    model = Model.load(trained / "model.pt", torch.device("cpu"))
    assert model.val["recall_at_1"] > 40  # chance 1.7
    assert model.val["median_percentile"] < 5
    assert 0.01 <= model.temperature <= 0.5


def test_each_epoch_logs_one_line_without_times(trained):
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, SMALL.epochs + 1))
    figures = metrics.summary(np.array([1, 2]), np.array([4, 4])).keys() - {"n"}
    assert set(lines[0]) == {"epoch", "loss"} | {f"val_{name}" for name in figures}
    best = Model.load(trained / "model.pt", torch.device("cpu"))
    assert best.val["median_percentile"] == min(line["val_median_percentile"] for line in lines)
    assert best.val["recall_at_10"] == lines[best.epoch - 1]["val_recall_at_10"]
    assert not list((trained / "checkpoints").glob("*.pt"))


def test_the_same_inputs_give_the_same_bytes(packs):
    first, again = fit(packs, "1", epochs=2), fit(packs, "2", epochs=2)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    other = fit(packs, "3", epochs=2, seed=1)
    assert other[1].read_bytes() != first[1].read_bytes()


@pytest.mark.parametrize("stop_after", [3, 8, 9])  # within an epoch, at its end, after it
def test_an_interrupted_run_ends_as_an_uninterrupted_one(packs, monkeypatch, stop_after):
    whole = [p.read_bytes() for p in fit(packs, "whole", epochs=3)]
    plain = Trainer.train_step

    def stopping(self, batch, chip_m):
        plain(self, batch, chip_m)
        if self.step == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Trainer, "train_step", stopping)
    with pytest.raises(SystemExit) as stopped:
        fit(packs, "part", epochs=3)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert not (packs / "modelpart.pt").exists()
    (saved,) = (packs / "checkpoints").glob("*.pt")
    assert torch.load(saved, weights_only=True)["step"] == stop_after
    monkeypatch.setattr(Trainer, "train_step", plain)
    assert [p.read_bytes() for p in fit(packs, "part", epochs=3)] == whole
    assert not saved.exists()


def test_checkpoints_are_written_at_the_requested_interval(packs, monkeypatch):
    seen = []
    monkeypatch.setattr(train.checkpoint, "write", lambda where, state: seen.append(state["step"]))
    fit(packs, epochs=2, checkpoint_minutes=1e-9)
    assert seen == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]


def test_a_repeated_training_reuses_the_stored_result(packs, monkeypatch, caplog):
    """Snakemake reruns a training after an upstream job reran with the same result."""
    first = [p.read_bytes() for p in fit(packs, epochs=1)]
    caplog.set_level("INFO")
    monkeypatch.delattr(Trainer, "train_step")
    assert [p.read_bytes() for p in fit(packs, anew=False, epochs=1)] == first
    assert "trained before on the same pairs" in caplog.text
    with pytest.raises(AttributeError, match="train_step"):
        fit(packs, anew=False, epochs=2)


@pytest.mark.parametrize("damage", ["picture", "model", "result", "missing"])
def test_only_a_complete_result_of_the_same_pictures_is_reused(packs, damage):
    first = [p.read_bytes() for p in fit(packs, epochs=1)]
    (folder,) = (packs / "checkpoints").iterdir()
    if damage == "picture":
        write_pack(packs / "train", 64, 1, aois=("a", "b"), fov_deg=64.0)
    elif damage == "model":
        body = bytearray((folder / "model.pt").read_bytes())
        body[len(body) // 2] ^= 1
        (folder / "model.pt").write_bytes(body)
    elif damage == "result":
        (folder / "result.json").write_text("{")
    else:
        (folder / "metrics.jsonl").unlink()
    for path in (packs / "model.pt", packs / "metrics.jsonl"):
        path.unlink()
    again = [p.read_bytes() for p in fit(packs, anew=False, epochs=1)]
    assert (again == first) == (damage != "picture")
    assert len(list((packs / "checkpoints").iterdir())) == (2 if damage == "picture" else 1)


def test_another_run_does_not_continue_from_a_checkpoint(packs):
    sides = (32, 24)
    (packs / "w.pth").write_bytes(b"weights")
    first = train.checkpoint.path(spec(), packs / "train", packs / "val", sides)
    assert first == train.checkpoint.path(spec(), packs / "train", packs / "val", sides)
    others = [
        train.checkpoint.path(spec(seed=1), packs / "train", packs / "val", sides),
        train.checkpoint.path(spec(), packs / "val", packs / "train", sides),
        train.checkpoint.path(spec(), packs / "train", packs / "val", (32, 48)),
        train.checkpoint.path(spec(), packs / "train", packs / "val", sides, packs / "w.pth"),
    ]
    assert len({first, *others}) == 5
    (packs / "w.pth").write_bytes(b"other weights under the same name")
    args = spec(), packs / "train", packs / "val", sides, packs / "w.pth"
    assert train.checkpoint.path(*args) != others[-1]


def test_a_broken_checkpoint_is_reported(packs):
    saved = train.checkpoint.path(spec(epochs=1), packs / "train", packs / "val", (32, 24))
    saved.parent.mkdir()
    saved.write_bytes(b"half")
    with pytest.raises(UserError, match=f"{saved} is not a readable checkpoint; delete it"):
        fit(packs, epochs=1)


def test_one_pair_is_too_few(packs):
    write_pack(packs / "train", 1, 1)
    with pytest.raises(UserError, match="at least two"):
        fit(packs)


def test_validation_leaves_batch_statistics_alone(packs):
    """Validation between epochs must not affect training."""
    lines = fit(packs, epochs=2)[1].read_text()
    before = json.loads(lines.splitlines()[1])["loss"]
    write_pack(packs / "val", 50, 9, aois=("d",))
    after = json.loads(fit(packs, epochs=2)[1].read_text().splitlines()[1])["loss"]
    assert before == after


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero():
    rates = np.array([one_cycle(step, 100, 2e-3) for step in range(100)])
    assert rates.argmax() == 25
    assert rates.max() == pytest.approx(2e-3)
    assert rates[0] == pytest.approx(2e-3 / 25)
    assert rates[-1] < 2e-5
    assert (np.diff(rates[:26]) > 0).all()
    assert (np.diff(rates[25:]) < 0).all()


def test_command_line(packs):
    argv = ["--spec", json.dumps(spec(epochs=1)), "--threads", "1"]
    for name, value in {
        "train": "train",
        "val": "val",
        "model": "m/m.pt",
        "metrics": "m/m.jsonl",
    }.items():
        argv += [f"--{name}", str(packs / value)]
    train.main(argv)
    assert Model.load(packs / "m/m.pt", torch.device("cpu")).epoch == 1


FULL = {"ema": 0.9, "hard_every": 1, "bucket_m": 900.0, "epochs": 4, "batch": 12, "micro_batch": 5}


@pytest.mark.parametrize("stop_after", [5, pytest.param(7, marks=pytest.mark.long)])
def test_a_killed_training_resumes_completely(packs, stop_after):
    """Average, mined batches, buckets and parts, after SIGKILL at a step between checkpoints."""
    whole = [p.read_bytes() for p in fit(packs, "whole", **FULL)]
    script = (
        "import os, signal, sys, test_train\n"
        "from pathlib import Path\n"
        "from witw.cvig.training.trainer import Trainer\n"
        "plain = Trainer.train_step\n"
        "def dying(self, *args):\n"
        "    plain(self, *args)\n"
        f"    if self.step == {stop_after}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Trainer.train_step = dying\n"
        f"packs = Path({str(packs)!r})\n"
        "test_train.fit(packs, 'part', checkpoint_minutes=1e-9, **test_train.FULL)\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    env = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, cwd=packs)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (saved,) = (packs / "checkpoints").glob("*.pt")
    # One step is lost: its checkpoint was never written.
    assert torch.load(saved, weights_only=True)["step"] == stop_after - 1
    again = fit(packs, "part", checkpoint_minutes=1e-9, **FULL)
    assert again[1].read_bytes() == whole[1]
    first, second = (
        Model.load(p, torch.device("cpu")).network for p in (packs / "modelwhole.pt", again[0])
    )
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_the_average_is_validated_and_saved(packs, monkeypatch):
    kept = []
    plain = Trainer.end_epoch

    def noting(self, *args):
        kept.append((self.eval_network.log_scale.item(), self.network.log_scale.item()))
        return plain(self, *args)

    monkeypatch.setattr(Trainer, "end_epoch", noting)
    model, _ = fit(packs, epochs=2, ema=0.95)
    found = Model.load(model, torch.device("cpu"))
    average, plain_weights = kept[found.epoch - 1]
    assert found.network.log_scale.item() == average != plain_weights


def test_batches_are_mined_at_the_set_interval(packs, monkeypatch):
    mined = []
    plain = Trainer._mine

    def noting(self, train_data, epoch):
        mined.append(epoch)
        return plain(self, train_data, epoch)

    monkeypatch.setattr(Trainer, "_mine", noting)
    hard = fit(packs, "hard", epochs=6, hard_every=2)[1].read_text().splitlines()
    assert mined == [2, 4]
    random = fit(packs, "random", epochs=6)[1].read_text().splitlines()
    assert hard[:2] == random[:2]
    assert hard[2] != random[2]


def test_an_epoch_is_as_long_as_there_are_buckets(packs, monkeypatch):
    steps = []
    plain = Trainer.end_epoch
    monkeypatch.setattr(
        Trainer, "end_epoch", lambda self, *a: (steps.append(self.step), plain(self, *a))[1]
    )
    fit(packs, epochs=2, bucket_m=2000.0, batch=4)  # four pairs to a bucket: 16 of 64 in an epoch
    assert steps == [4, 8]


def test_curves_are_written_beside_the_checkpoints(packs):
    fit(packs, epochs=2)
    (folder,) = (packs / "checkpoints").iterdir()
    (file,) = folder.glob("events.*")
    content = file.read_bytes()
    for tag in (b"epoch/loss", b"epoch/val_median_percentile"):
        assert content.count(tag) == 2


def test_a_backbone_that_mixes_pairs_is_not_run_in_parts(packs):
    with pytest.raises(UserError, match="normalises over its batch"):
        fit(packs, epochs=1, backbone="test_resnet", stride=8, micro_batch=4)


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.long), 2])
def test_processes_share_a_training(packs, processes, tmp_path):
    """With the rule's command: the curve of one process, one model, one log."""
    expected = fit(packs, "one", **FULL | {"micro_batch": 0})[1].read_text().splitlines()
    argv = [sys.executable, "-m", "witw.cvig.train", "--processes", str(processes)]
    argv += ["--threads", "2", "--spec", json.dumps(spec(**FULL | {"micro_batch": 3}))]
    for name, value in {
        "train": "train",
        "val": "val",
        "model": "m.pt",
        "metrics": "m.jsonl",
    }.items():
        argv += [f"--{name}", str(packs / value)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=packs, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (packs / "m.jsonl").read_text().splitlines()]
    for line, reference in zip(lines, map(json.loads, expected), strict=True):
        assert line["loss"] == pytest.approx(reference["loss"], rel=2e-3)
    logs = [folder for folder in (packs / "checkpoints").iterdir() if folder.is_dir()]
    assert [len(list(folder.glob("events.*"))) for folder in logs] == [1, 1]
    assert done.stderr.count('"epoch": 4') == 1


@pytest.mark.long
def test_a_batch_that_processes_cannot_share_is_refused(packs):
    argv = [sys.executable, "-m", "witw.cvig.train", "--processes", "2"]
    argv += ["--spec", json.dumps(spec(batch=15))]
    for name, value in {
        "train": "train",
        "val": "val",
        "model": "m.pt",
        "metrics": "m.jsonl",
    }.items():
        argv += [f"--{name}", str(packs / value)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=packs, timeout=300)
    assert done.returncode == 1
    assert "witw: A batch of 15 pairs cannot be shared out among 2 processes" in done.stderr


@pytest.mark.long
def test_several_processes_stop_together_and_resume(packs):
    """SIGTERM to torchrun, as Slurm sends it: one checkpoint at one step, and the same result."""
    changes = FULL | {"epochs": 12, "micro_batch": 0}
    argv = [sys.executable, "-m", "witw.cvig.train", "--processes", "2", "--threads", "2"]
    argv += ["--spec", json.dumps(spec(**changes))]
    for name, value in {
        "train": "train",
        "val": "val",
        "model": "m.pt",
        "metrics": "m.jsonl",
    }.items():
        argv += [f"--{name}", str(packs / value)]
    whole = subprocess.run(argv, capture_output=True, text=True, cwd=packs, timeout=300)
    assert whole.returncode == 0, whole.stderr
    expected = (packs / "m.jsonl").read_text()
    (packs / "m.jsonl").unlink()
    forget_results(packs)
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd=packs) as process:
        for line in process.stderr:
            if '"epoch": 2' in line:
                process.send_signal(signal.SIGTERM)
                break
        process.stderr.read()
        assert process.wait(300) != 0
    (saved,) = (packs / "checkpoints").glob("*.pt")
    assert torch.load(saved, weights_only=True)["step"] >= 2
    assert not (packs / "m.jsonl").exists()
    again = subprocess.run(argv, capture_output=True, text=True, cwd=packs, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "going on from" in again.stderr
    assert (packs / "m.jsonl").read_text() == expected


def test_training_starts_with_the_given_weights(packs):
    torch.manual_seed(5)
    whole = timm.create_model("test_vit").state_dict()
    torch.save(whole, packs / "w.pth")
    changes = {"backbone": "test_vit", "weights": "timm", "head": "global", "freeze": 2}
    argv = ["--spec", json.dumps(spec(epochs=1, **changes)), "--weights", str(packs / "w.pth")]
    outputs = {"model": "m/m.safetensors", "metrics": "m/m.jsonl"}
    for name, value in {"train": "train", "val": "val", **outputs}.items():
        argv += [f"--{name}", str(packs / value)]
    train.main(argv)
    found = Model.load(packs / "m/m.safetensors", torch.device("cpu")).network.state_dict()
    for tower in ("photo", "overhead"):
        name = "blocks.1.mlp.fc1.weight"
        assert torch.equal(found[f"{tower}.backbone.net.{name}"], whole[name])
