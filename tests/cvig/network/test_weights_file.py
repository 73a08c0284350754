import pytest
import timm
import torch
from safetensors.torch import save_file

from witw.cvig.network.timm_backbone import Timm
from witw.errors import UserError


@pytest.fixture(scope="module")
def whole():
    torch.manual_seed(9)
    return timm.create_model("test_vit").state_dict()


def made(weights):
    return Timm("test_vit", str(weights), 0, (64, 64), False)


def write(path, state):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("name", "wrapped"),
    [
        ("w.safetensors", lambda w: w),
        ("w.pth", lambda w: w),
        ("w.pth", lambda w: {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in w.items()}}),
        ("w.pth", lambda w: {"model": w}),
    ],
)
def test_every_tensor_is_assigned(tmp_path, whole, name, wrapped):
    found = made(write(tmp_path / name, wrapped(whole))).net.state_dict()
    assert found.keys() == {k for k in whole if not k.startswith("head.")}
    assert all(torch.equal(found[k], whole[k]) for k in found)


def test_a_file_without_a_classifier_suffices(tmp_path, whole):
    bare = {k: v for k, v in whole.items() if not k.startswith("head.")}
    assert torch.equal(made(write(tmp_path / "w.pth", bare)).net.pos_embed, whole["pos_embed"])


def test_position_embeddings_of_another_size_are_resized(tmp_path, whole):
    larger = timm.create_model("test_vit", img_size=320)
    found = made(write(tmp_path / "w.pth", larger.state_dict())).net
    assert found.pos_embed.shape == whole["pos_embed"].shape
    assert torch.equal(found.cls_token, larger.cls_token)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda w: {k: v for k, v in w.items() if "blocks.3" not in k}, r"\d+ of \d+ .*`blocks\.3"),
        (
            lambda w: w | {"blocks.12.norm1.weight": torch.zeros(64)},
            r"1 of the file found no place",
        ),
        (
            lambda w: w | {"blocks.0.mlp.fc1.weight": torch.zeros(64, 64)},
            r"and 1 of the file .*`blocks\.0\.mlp\.fc1",
        ),
        (lambda w: {f"net.{k}": v for k, v in w.items()}, r": 0 of \d+ tensors of 'test_vit'"),
        (lambda w: timm.create_model("test_resnet").state_dict(), r": 0 of \d+ tensors"),
    ],
    ids=["missing", "left", "shape", "prefix", "another"],
)
def test_a_misfit_reports_how_many_tensors_fitted(tmp_path, whole, damage, told):
    path = write(tmp_path / "w.pth", damage(dict(whole)))
    with pytest.raises(UserError, match=told) as error:
        made(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_counts_are_right(tmp_path, whole):
    needed = [k for k in whole if not k.startswith("head.")]
    some = {k: whole[k] for k in needed[:-3]}
    with pytest.raises(UserError, match=f"{len(needed) - 3} of {len(needed)} tensors"):
        made(write(tmp_path / "w.pth", some))


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_another_kind_of_file_is_reported(tmp_path, content):
    path = tmp_path / "w.pth"
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match="is not a readable file of weights"):
        made(path)
