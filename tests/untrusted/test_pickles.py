"""Checkpoints are pickles, and pickles can hold commands: none is ever carried out."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from witw import places365, tables
from witw.config import load
from witw.cvig import backbones, checkpoint, model
from witw.cvig.batches import Packed
from witw.errors import UserError
from witw.spec import build

RUN = """
import sys
from witw import stage
from witw.scenes import main
stage.execute(lambda: main(sys.argv[1:]))
"""
SPEC = build(
    load({"aois": {"oslo": {"bbox_deg": [0, 0, 1, 1], "strips": ["a.tif"]}}}, "x"), "scenes", "oslo"
)


class Command:
    """Unpickling it makes a file."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return exec, (f"open({self.trace!r}, 'w').write('it ran')",)


def zipped(path, value):
    torch.save({"state_dict": value, "weights": value, "shape": {}}, path)


def legacy(path, value):
    torch.save({"state_dict": value}, path, _use_new_zipfile_serialization=False)


def plain(path, value):
    path.write_bytes(pickle.dumps(value))


def tarred(path, value):
    """As torch wrote files before 0.1: the name of the format in a tar."""
    import io
    import tarfile

    with tarfile.open(path, "w") as tar:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            body = pickle.dumps(value)
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))


@pytest.mark.parametrize("write", [zipped, legacy, plain, tarred])
@pytest.mark.parametrize(
    "read",
    [
        lambda path: places365.load(path, "resnet18"),
        lambda path: model.load(path, torch.device("cpu")),
        lambda path: checkpoint.read(path, torch.device("cpu")),
    ],
    ids=["places365", "model.pt", "training checkpoint"],
)
def test_a_checkpoint_with_a_command_is_refused_and_the_command_not_run(tmp_path, write, read):
    trace, path = tmp_path / "trace", tmp_path / "model.pt"
    write(path, Command(trace))
    with pytest.raises(UserError) as error:
        read(path)
    assert not trace.exists()
    assert str(path) in str(error.value)
    # The test can fail: whoever trusts the file runs the command.
    if write is plain:
        pickle.loads(path.read_bytes())
        assert trace.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_weights_of_a_backbone_likewise(tmp_path, name):
    trace, path = tmp_path / "trace", tmp_path / name
    zipped(path, Command(trace))
    with pytest.raises(UserError):
        backbones._read(str(path))
    assert not trace.exists()


def test_packed_arrays_with_a_command_are_refused(tmp_path):
    trace = tmp_path / "trace"
    tables.write(tmp_path / "pairs.parquet", "pack", [])
    for name in ("photos", "chips"):
        np.save(tmp_path / f"{name}.npy", np.array([Command(trace)], dtype=object))
    with pytest.raises(UserError):
        Packed.open(tmp_path)
    assert not trace.exists()


def test_the_stage_says_so_in_one_sentence(tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "places.pth.tar"
    zipped(path, Command(trace))
    command = [sys.executable, "-c", RUN, "--spec", SPEC, "--photos", "none.parquet"]
    command += ["--checkpoint", str(path), "--table", str(tmp_path / "out.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("witw: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(path) in done.stderr
    assert not trace.exists()
