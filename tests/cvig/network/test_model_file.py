"""The file of a model: restored content, identical bytes, and errors about other files."""

import json
import pickle
import random
import struct
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from witw import files, model_facts
from witw.cvig.network import model_file
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.model import Model
from witw.cvig.network.towers import Network
from witw.errors import UserError
from witw.settings.train import Train

FACTS = {"temperature": 0.1, "epoch": 3, "calibration": {"temperature": 0.05, "sigma_m": 20.0}}
TENSORS = {
    "b": torch.arange(12.0).reshape(3, 4),
    "a": torch.tensor(5),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "yes": torch.tensor([True, False]),
    "lying": torch.arange(6.0).reshape(2, 3).T,
}
CPU = torch.device("cpu")


@pytest.fixture
def path(tmp_path):
    model_file.write(tmp_path / "m.safetensors", TENSORS, FACTS)
    return tmp_path / "m.safetensors"


def small(**changes):
    settings = Train(width=16, blocks=1, embed_dim=32, headings=16, polar_rows=16, **changes)
    torch.manual_seed(3)
    return Network(Architecture.of(settings, 225.0, 32, 24)).eval()


def test_facts_and_tensors_are_restored(path):
    facts, tensors = model_file.read(path)
    assert {name: facts[name] for name in FACTS} == FACTS
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert model_facts.read_facts(path) == facts


def test_any_reader_of_safetensors_opens_it(path):
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(TENSORS)
        told = json.loads(file.metadata()["witw"])
    assert told["calibration"] == FACTS["calibration"]
    assert told["written_by"].startswith("witw ")


WRITE = """
import sys, torch
from witw.cvig.network import model_file
torch.manual_seed(1)
tensors = {f"t{n}": torch.randn(n, 3) for n in range(30)}
model_file.write(sys.argv[1], tensors, {f"f{n}": n for n in range(30)})
""".replace("sys.argv[1]", "__import__('pathlib').Path(sys.argv[1])")


def test_the_same_bytes_from_every_process(tmp_path):
    bodies = set()
    for n in range(3):
        path = tmp_path / f"{n}.safetensors"
        subprocess.run([sys.executable, "-c", WRITE, str(path)], check=True)
        bodies.add(path.read_bytes())
    assert len(bodies) == 1


def test_shared_weights_are_written_once(tmp_path):
    made = small(share_weights=True)
    Model(made, 0.1, 3, {"recall_at_1": 5.0}).save(tmp_path / "one")
    twice = 4 * sum(tensor.numel() for tensor in made.state_dict().values())
    once = twice - 4 * sum(p.numel() for p in made.photo.backbone.parameters())
    assert once < (tmp_path / "one").stat().st_size < 0.9 * twice
    again = Model.load(tmp_path / "one", CPU)
    chips = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert all(map(torch.equal, again.network.encode_chips(chips), made.encode_chips(chips)))
    assert again.network.photo.backbone is again.network.overhead.backbone
    # Facts are the same after reading.
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "one").read_bytes()


def rewrite(path, change):
    """Rewrite the file after ``change`` has edited its facts, with valid seals."""
    facts, tensors = model_file.read(path)
    change(facts)
    save_file(tensors, path, metadata={"witw": json.dumps(files.seal(facts))})


def told(path):
    with pytest.raises(UserError) as caught:
        Model.load(path, CPU)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def test_another_version_is_reported(path):
    rewrite(path, lambda facts: facts.update(format=2, written_by="witw 7.1"))
    text = told(path)
    assert "has model format 2, written by witw 7.1; this is witw" in text
    assert "reads format 1: install the version that wrote the file" in text


def test_an_unknown_architecture_counts_as_another_version(tmp_path):
    path = tmp_path / "m.safetensors"
    Model(small(), 0.1, 3, {}).save(path)
    rewrite(path, lambda facts: facts["architecture"].update(antennas=4))
    assert "is a model of another version of witw, witw " in told(path)


def test_a_truncated_file_is_reported(path):
    whole = path.read_bytes()
    for at in (0, 5, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at])
        text = told(path)
        assert "is damaged" in text or "is not a safetensors file" in text
    assert f"it has {len(whole) - 1:,} of {len(whole):,} bytes" in text


def test_a_flipped_bit_is_reported_or_harmless(path):
    whole, rng, found = path.read_bytes(), random.Random(1), 0
    for _ in range(200):
        body = bytearray(whole)
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        path.write_bytes(body)
        try:
            facts, tensors = model_file.read(path)
        except UserError as error:
            assert str(path) in str(error)
            found += 1
        else:
            assert {name: facts[name] for name in FACTS} == FACTS
            assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert found > 150


def test_other_kinds_of_files_are_reported(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    assert "is a safetensors file, but not a model of witw" in told(path)
    torch.save({"a": torch.zeros(3)}, path)
    assert "is a torch pickle" in told(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    assert "is a torch pickle" in told(path)
    path.write_bytes(b"\xff\xd8\xff\xe0 a photo, surely" * 9)
    assert "is not a safetensors file" in told(path)
    path.write_bytes(struct.pack("<Q", 20) + b"{" + b"x" * 19)
    assert "its header is not readable" in told(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n")
    assert "is a pointer of Git LFS" in told(path)
    path.unlink()
    assert "does not exist" in told(path)
    path.mkdir()
    assert "is a folder" in told(path)
