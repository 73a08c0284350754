"""Curves of a training, read back with TensorBoard itself."""

import logging
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from witw.cvig.training.tensorboard import Events


def read(folder):
    """Return steps and values by tag from every file in a folder, as TensorBoard shows them."""
    shown = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in shown.Scalars(tag)]
        for tag in shown.Tags()["scalars"]
    }


def test_scalars_keep_their_tags_steps_and_values(tmp_path):
    log = Events(tmp_path / "checkpoints" / "run")
    log.add(1, {"train/loss": 4.0})
    log.add(300, {"train/loss": 3.0, "speed/data wait %": 0.25, "speed/pairs/s": 1e3})
    log.add(301, {})
    log.close()
    assert read(tmp_path / "checkpoints" / "run") == {
        "train/loss": [(1, 4.0), (300, 3.0)],
        "speed/data wait %": [(300, 0.25)],
        "speed/pairs/s": [(300, 1000.0)],
    }


def test_values_are_in_the_file_before_it_is_closed(tmp_path):
    """A job may be killed at any time."""
    log = Events(tmp_path)
    for step in range(3):
        log.add(step, {"loss": float(step)})
        assert read(tmp_path) == {"loss": [(s, float(s)) for s in range(step + 1)]}
    log.close()


def test_a_new_run_adds_a_file_and_continues_the_curve(tmp_path):
    for step in (1, 2):
        log = Events(tmp_path)
        log.add(step, {"loss": float(step)})
        log.close()
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2
    assert read(tmp_path) == {"loss": [(1, 1.0), (2, 2.0)]}


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Events(None).add(1, {"loss": 4.0})
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_reported_in_one_line(tmp_path, monkeypatch, caplog):
    for name in list(sys.modules):
        if name.split(".")[0] == "tensorboard" or name.startswith("torch.utils.tensorboard"):
            monkeypatch.delitem(sys.modules, name)
    # Python's way of marking a missing module
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError):
        __import__("torch.utils.tensorboard")
    with caplog.at_level(logging.INFO):
        log = Events(tmp_path / "run")
    log.add(1, {"loss": 4.0})
    log.close()
    assert [record.message for record in caplog.records] == [
        "no TensorBoard files: `tensorboard` is not installed (extra witw[tensorboard])"
    ]
    assert not (tmp_path / "run").exists()
