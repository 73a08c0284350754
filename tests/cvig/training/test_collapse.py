import json

import numpy as np
import pytest
import torch
from made_pairs import SMALL, SPEC, write_pack, write_rows

from witw.cvig import train
from witw.cvig.training import collapse
from witw.cvig.training.loss import chosen
from witw.dataset.packed import Packed
from witw.errors import UserError
from witw.settings.train import Train


def fit(folder, **changes):
    spec = SPEC | {"train": SMALL.model_dump() | changes}
    train.run(spec, *(folder / n for n in ("train", "val", "m.pt", "m.jsonl")))
    return [json.loads(line) for line in (folder / "m.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("pooling", ["attention", pytest.param("gem", marks=pytest.mark.long)])
def test_the_global_head_learns(tmp_path, monkeypatch, pooling):
    """On unseen areas; guessing gives a median percentile of 50, plus or minus 6."""
    monkeypatch.chdir(tmp_path)
    write_pack(tmp_path / "train", 480, 1, aois=("a", "b"))
    write_pack(tmp_path / "val", 80, 2, aois=("c",))
    lines = fit(tmp_path, head="global", pooling=pooling, epochs=14)
    assert min(line["val_median_percentile"] for line in lines) < 30
    assert lines[-1]["loss"] < 0.95 * np.log(16)


@pytest.mark.parametrize("head", ["polar", "global"])
def test_a_collapse_is_reported(packs, head):
    """All pictures are equal, so their codes are equal for any weights."""
    for split in ("train", "val"):
        data = Packed.open(packs / split)
        write_rows(packs / split, data.table, *data.pictures(np.zeros(len(data), np.int64)))
    with pytest.raises(UserError, match="Training collapsed: in the last 3 of 5 epochs") as told:
        fit(packs, head=head, erase=0.0, shift_m=0.0, zoom=0.0, colour=0.0, dropout=0.0)
    assert "equal scores give 2.773" in str(told.value)  # ln 16
    assert "lower `train.learning_rate`" in str(told.value)


def line(loss, percentile):
    return {"loss": loss, "val_median_percentile": percentile}


def told(lines, spread=0.02, photos=400, **changes):
    settings = Train(epochs=8, warm_up=0.25, batch=64, **changes)
    equal = collapse.equal_scores_loss(chosen(settings), 64)
    return collapse.sentence(lines, settings, equal, spread, photos)


STUCK = [line(4.15, 49.0)] * 5


def test_a_collapse_is_detected_only_after_the_warm_up():
    assert told(STUCK[:4]) == ""
    assert told(STUCK).startswith("Training collapsed")


@pytest.mark.parametrize("better", [line(4.15, 40.0), line(3.9, 49.0)])
def test_a_learning_epoch_is_not_a_collapse(better):
    assert told([*STUCK, better]) == ""
    assert told([*STUCK[:-1], better]) == ""


def test_few_photos_guess_well_now_and_then():
    assert told([line(4.15, 41.0)] * 5, photos=400) == ""
    assert told([line(4.15, 41.0)] * 5, photos=30) != ""


def test_codes_that_differ_are_no_collapse_even_if_few_pairs_look_like_guessing():
    assert told(STUCK, spread=0.22, photos=10) == ""


def test_constant_codes_are_reported_for_any_loss():
    assert told([line(3.5, 99.0)] * 5, spread=0.1) == ""
    assert "codes differ by 0.0001" in told([line(3.5, 99.0)] * 5, spread=1e-4)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("info_nce", np.log(64)), ("decoupled", np.log(63)), ("triplet", np.log(2))],
)
def test_equal_scores_have_a_known_loss_for_any_setting(loss, expected):
    settings = Train(loss=loss)
    assert collapse.equal_scores_loss(chosen(settings), 64) == pytest.approx(expected)


def test_the_spread_is_the_distance_from_the_mean():
    codes = torch.tensor([[2.0, 0.0], [0.0, 3.0]])[:, :, None]
    assert collapse.spread(codes) == pytest.approx(np.sqrt(0.5))
    assert collapse.spread(torch.ones(5, 8, 1)) == pytest.approx(0, abs=1e-6)
