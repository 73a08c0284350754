import json
import os
import signal

import numpy as np
import pytest
import torch
from made_pairs import SMALL, SPEC, write_pack

from witw.cvig import train
from witw.cvig.model import Model
from witw.cvig.train import Trainer, one_cycle
from witw.errors import UserError


def spec(**changes):
    return SPEC | {"train": SMALL.model_copy(update=changes).model_dump()}


def fit(folder, tag="", **changes):
    model, lines = folder / f"model{tag}.pt", folder / f"metrics{tag}.jsonl"
    train.run(spec(**changes), folder / "train", folder / "val", model, lines)
    return model, lines


def test_memorises_32_pairs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pack(tmp_path / "train", 32, 1)
    write_pack(tmp_path / "val", 12, 2)
    plain = {"shift_m": 0, "zoom": 0, "colour": 0, "erase": 0, "fov_jitter": 0, "dropout": 0}
    _, lines = fit(tmp_path, epochs=40, **plain)
    losses = [json.loads(line)["loss"] for line in lines.read_text().splitlines()]
    assert losses[0] > 2
    assert losses[-1] < 0.2


def test_finds_places_and_headings_it_has_never_seen(trained):
    model = Model.load(trained / "model.pt", torch.device("cpu"))
    assert model.val["recall_at_1"] > 40  # chance 1.7
    assert model.val["median_percentile"] < 5
    assert 0.01 <= model.temperature <= 0.5


def test_a_line_an_epoch_without_clocks(trained):
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, SMALL.epochs + 1))
    assert set(lines[0]) == {
        "epoch", "loss", "val_recall_at_1", "val_recall_at_5", "val_recall_at_10",
        "val_recall_at_1pct", "val_median_percentile",
    }  # fmt: skip
    best = Model.load(trained / "model.pt", torch.device("cpu"))
    assert best.val["median_percentile"] == min(line["val_median_percentile"] for line in lines)
    assert best.val["recall_at_10"] == lines[best.epoch - 1]["val_recall_at_10"]
    assert not list((trained / "checkpoints").glob("*"))


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
    (saved,) = (packs / "checkpoints").iterdir()
    assert torch.load(saved, weights_only=True)["step"] == stop_after
    monkeypatch.setattr(Trainer, "train_step", plain)
    assert [p.read_bytes() for p in fit(packs, "part", epochs=3)] == whole
    assert not saved.exists()


def test_writes_its_checkpoint_as_often_as_asked(packs, monkeypatch):
    seen = []
    monkeypatch.setattr(train.checkpoint, "write", lambda where, state: seen.append(state["step"]))
    fit(packs, epochs=2, checkpoint_minutes=1e-9)
    assert seen == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]


def test_another_run_does_not_go_on_from_a_checkpoint(packs):
    sides = (32, 24)
    first = train.checkpoint.path(spec(), packs / "train", packs / "val", sides)
    assert first == train.checkpoint.path(spec(), packs / "train", packs / "val", sides)
    others = [
        train.checkpoint.path(spec(seed=1), packs / "train", packs / "val", sides),
        train.checkpoint.path(spec(), packs / "val", packs / "train", sides),
        train.checkpoint.path(spec(), packs / "train", packs / "val", (32, 48)),
    ]
    assert len({first, *others}) == 4


def test_a_broken_checkpoint_is_named(packs):
    saved = train.checkpoint.path(spec(epochs=1), packs / "train", packs / "val", (32, 24))
    saved.parent.mkdir()
    saved.write_bytes(b"half")
    with pytest.raises(UserError, match=f"{saved} is not a readable model; delete it"):
        fit(packs, epochs=1)


def test_one_pair_is_too_few(packs):
    write_pack(packs / "train", 1, 1)
    with pytest.raises(UserError, match="at least two"):
        fit(packs)


def test_validation_leaves_batch_statistics_alone(packs):
    """Validating between epochs must not change what training does."""
    lines = fit(packs, epochs=2)[1].read_text()
    before = json.loads(lines.splitlines()[1])["loss"]
    write_pack(packs / "val", 50, 9, aois=("d",))
    after = json.loads(fit(packs, epochs=2)[1].read_text().splitlines()[1])["loss"]
    assert before == after


def test_one_cycle_rises_to_the_peak_and_falls_to_nothing():
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
