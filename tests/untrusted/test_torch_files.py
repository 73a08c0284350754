"""Checkpoints are pickles, and pickles can contain commands: none is ever executed."""

import pickle
import random
import subprocess
import sys

import pytest
import torch

from witw import tables
from witw.config import load
from witw.cvig.network import weights_file
from witw.cvig.training import checkpoint
from witw.dataset.packed import PICTURES, TABLE, Packed
from witw.errors import UserError
from witw.places365 import network
from witw.spec import build

RUN = """
import sys
from witw import stage
from witw.places365.scenes import main
stage.execute(lambda: main(sys.argv[1:]))
"""
SPEC = build(
    load({"aois": {"oslo": {"bbox_deg": [0, 0, 1, 1], "strips": ["a.tif"]}}}, "x"), "scenes", "oslo"
)


READERS = {
    "places365": network._state_dict,
    "training checkpoint": lambda path: checkpoint.read(path, torch.device("cpu")),
}


class Command:
    """A value that writes a file when it is unpickled."""

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
    """Write as torch did before 0.1: the name of the format in a tar."""
    import io
    import tarfile

    with tarfile.open(path, "w") as tar:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            body = pickle.dumps(value)
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))


@pytest.mark.parametrize("write", [zipped, legacy, plain, tarred])
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_checkpoint_with_a_command_is_refused_and_the_command_not_run(tmp_path, write, read):
    trace, path = tmp_path / "trace", tmp_path / "saved.pt"
    write(path, Command(trace))
    with pytest.raises(UserError) as error:
        read(path)
    assert not trace.exists()
    assert str(path) in str(error.value)
    # The test can fail: a reader that trusts the file runs the command.
    if write is plain:
        pickle.loads(path.read_bytes())
        assert trace.exists()


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_flipped_bit_in_a_checkpoint_changes_no_weight(tmp_path, read):
    path, tensors = tmp_path / "saved.pt", {"a": torch.randn(400, 3), "b": torch.arange(500)}
    zipped(path, tensors)
    whole, rng = path.read_bytes(), random.Random(1)

    def tell():
        state = read(path)
        return {k: v for k, v in state.get("weights", state).items() if isinstance(v, torch.Tensor)}

    def turn(at):
        body = bytearray(whole)
        body[at] ^= 1 << rng.randrange(8)
        path.write_bytes(body)

    told = 0
    for _ in range(200):
        turn(rng.randrange(len(whole)))
        try:
            found = tell()
        except UserError as error:
            assert str(path) in str(error)
            told += 1
        else:
            # Bytes that no reader uses: the padding, and names that occur twice.
            assert found.keys() == tensors.keys()
            assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert told > 100


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_backbone_weights_with_a_command_are_refused(tmp_path, name):
    trace, path = tmp_path / "trace", tmp_path / name
    zipped(path, Command(trace))
    with pytest.raises(UserError):
        weights_file.read(str(path))
    assert not trace.exists()


def test_packed_pictures_with_a_command_are_refused(tmp_path):
    trace = tmp_path / "trace"
    tables.write(tmp_path / TABLE, "pack", [])
    (tmp_path / PICTURES).write_bytes(pickle.dumps(Command(trace)))
    with pytest.raises(UserError):
        Packed.open(tmp_path)
    assert not trace.exists()


def test_the_stage_reports_it_in_one_sentence(tmp_path):
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
