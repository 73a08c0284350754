from dataclasses import asdict

import pytest
import torch
from made_pairs import SMALL, make_pairs

from witw.cvig.network import model_file
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.model import Model
from witw.cvig.network.towers import Network
from witw.errors import UserError

PIXELS = [torch.from_numpy(v) for v in make_pairs(3, 0)[:2]]
KINDS = [
    {"head": "global"},
    {"head": "original", "loss": "triplet", "projection": "stretched", "radius_exponent": 1.0},
    {"backbone": "test_convnext"},
]


def network(**changes):
    settings = SMALL.model_copy(update=changes)
    torch.manual_seed(0)
    return Network(Architecture.of(settings, 225.0, 32, 24), settings.weights).eval()


@pytest.mark.parametrize("changes", KINDS)
def test_a_file_restores_the_same_network(tmp_path, changes):
    made = network(**changes)
    Model(made, 0.1, 3, {"recall_at_1": 5.0}).save(tmp_path / "model.pt")
    again = Model.load(tmp_path / "model.pt", torch.device("cpu"))
    assert again.network.shape == made.shape
    with torch.inference_mode():
        for got, expected in zip(
            again.network.encode_chips(PIXELS[1]), made.encode_chips(PIXELS[1]), strict=True
        ):
            assert torch.equal(got, expected)


def test_an_older_file_is_read_or_reported(tmp_path):
    """Unchanged networks are read; timm's networks, which lacked blocks, are not."""
    made, path = network(), tmp_path / "model.safetensors"
    shape = asdict(made.shape)
    for key in ("mean", "std", "drop_path"):
        del shape[key]
    facts = {"architecture": shape, "temperature": 0.1, "epoch": 3, "val": {}}
    model_file.write(path, made.state_dict(), facts)
    with torch.inference_mode():
        code = Model.load(path, torch.device("cpu")).network.encode_chips(PIXELS[1])
        assert all(map(torch.equal, code, made.encode_chips(PIXELS[1])))
    facts["architecture"] = shape | {"backbone": "test_vit", "stride": 16}
    model_file.write(path, made.state_dict(), facts)
    with pytest.raises(UserError, match="is a model of another version of witw"):
        Model.load(path, torch.device("cpu"))
