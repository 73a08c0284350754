"""Places365: published checkpoints, the vote against a plain version, bad photos."""

import hashlib
import json
import pickle
import re
import struct
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.models import get_model, resnet18

from witw import tables
from witw.errors import UserError
from witw.places365 import network, scenes

SPEC = {"stage": "scenes", "version": 1, "aoi": "a", "scenes": {"arch": "resnet18"}}


class Python2Pickler(pickle._Pickler):
    """Writes str as Python 2 did: byte strings without an encoding."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_str(self, text):
        data = text.encode("latin1")
        self.write(pickle.SHORT_BINSTRING + struct.pack("<B", len(data)) + data)
        self.memoize(text)

    dispatch[str] = save_str


PYTHON2 = SimpleNamespace(
    __name__="pickle",
    Pickler=Python2Pickler,
    dump=lambda value, file, protocol=2: Python2Pickler(file, protocol).dump(value),
)


def trained_net(seed=0):
    torch.manual_seed(seed)
    net = resnet18(num_classes=365)
    with torch.no_grad():
        net.fc.weight.mul_(20)
    return net


def published(path, net, python2=False):
    """Save as in 2017: one stream, `module.` names, no batch counters, other entries beside."""
    state = OrderedDict(
        (f"module.{key}", value)
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    )
    saved = {"epoch": 90, "arch": "resnet18", "state_dict": state, "best_prec1": 54.2}
    torch.save(
        saved,
        path,
        pickle_module=PYTHON2 if python2 else pickle,
        _use_new_zipfile_serialization=False,
    )
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return published(tmp_path_factory.mktemp("models") / "net.pth.tar", trained_net())


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Return a function that makes a shard's photos and their downloads table in a run folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(scenes.BATCHES, "cpu", 4)

    def make(statuses, seed=0):
        rng = np.random.default_rng(seed)
        rows = []
        for number, status in enumerate(statuses):
            path = Path(f"photos/a/{number}.jpg")
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = rng.integers(0, 255, (9, 12, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((500, 333 + number)).save(path, quality=95)
            has = status in ("ok", "grey")
            rows.append(
                {"id": str(100 + number), "status": status, "path": str(path) if has else None}
            )
        table = pd.DataFrame(rows).reindex(columns=list(tables.DOWNLOADS))
        return tables.write(tmp_path / "downloads.parquet", "downloads", table)

    return make


def run(checkpoint, arch="resnet18", threads=1, name="scenes.parquet"):
    spec = {**SPEC, "scenes": {"arch": arch}}
    return scenes.run(spec, Path("downloads.parquet"), checkpoint, Path(name), threads=threads)


def test_the_classes_are_the_published_ones():
    assert len(network.categories()) == 365
    assert network.categories()[:2] == ["airfield", "airplane_cabin"]
    assert network.categories()[-1] == "zen_garden"
    assert network.indoor().sum() == 160
    assert not network.indoor()[network.categories().index("street")]
    assert network.indoor()[network.categories().index("kitchen")]


def naive_vote(logits):
    """Compute the vote as the published script does, with lists."""
    labels = [0 if flag else 1 for flag in network.indoor()]
    exps = [float(np.exp(value - max(logits))) for value in logits]
    order = sorted(range(365), key=lambda k: exps[k], reverse=True)
    mass = sum(e for e, label in zip(exps, labels, strict=True) if label) / sum(exps)
    return sum(labels[k] for k in order[:10]) / 10, mass, order[0]


def test_vote_equals_the_published_lines():
    logits = np.random.default_rng(1).normal(0, 3, (50, 365))
    share, mass, top = network.vote(logits)
    for row, values in enumerate(logits):
        expected = naive_vote(list(values))
        assert share[row] == pytest.approx(expected[0])
        assert mass[row] == pytest.approx(expected[1])
        assert top[row] == expected[2]


def test_a_tie_of_five_is_exactly_one_half():
    inside, outside = np.flatnonzero(network.indoor()), np.flatnonzero(~network.indoor())
    logits = np.full((1, 365), -5.0)
    logits[0, inside[:5]] = np.arange(10, 15)
    logits[0, outside[:5]] = np.arange(20, 25)
    assert network.vote(logits)[0][0] == 0.5


@pytest.mark.parametrize("python2", [False, True])
def test_scores_are_those_of_the_published_resnet18_script(store, tmp_path, python2):
    net = trained_net(3).eval()
    path = published(tmp_path / "old.pth.tar", net, python2)
    store(["ok", "gone", "grey"])
    got = run(path)
    assert list(got["id"]) == ["100", "102"]
    script = transforms.Compose(
        [
            transforms.Resize((256, 256)),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    for row, name in enumerate(["0", "2"]):
        with torch.no_grad():
            logits = net(script(Image.open(f"photos/a/{name}.jpg"))[None])[0]
        share, mass, top = naive_vote([float(v) for v in logits])
        assert got["io_vote"][row] == pytest.approx(share)
        assert got["p_outdoor"][row] == pytest.approx(mass, abs=2e-5)
        assert got["scene_top1"][row] == network.categories()[top]


def test_wideresnet18_squashes_to_224_and_ends_in_a_map_of_14_by_14(store, checkpoint):
    net = network.load(checkpoint, "wideresnet18")
    shapes = []
    net.layer4.register_forward_hook(lambda *args: shapes.append(tuple(args[2].shape)))
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 60, 3), dtype=np.uint8))
    pixels = network.preprocess(photo, "wideresnet18")
    assert np.array_equal(pixels, np.asarray(transforms.Resize((224, 224))(photo)))
    net(network.normalise(torch.from_numpy(pixels.copy())[None]))
    assert shapes == [(1, 512, 14, 14)]


def test_colours_reach_the_network_as_red_green_blue(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (80, 60), (250, 120, 10)).save("p.jpg", quality=100)
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return torch.zeros(len(x), 365)

    scenes.score(Spy(), "resnet18", [Path("p.jpg")], 1)
    expected = (np.array([250, 120, 10]) / 255 - network.MEAN) / network.STD
    assert np.allclose(seen[0][0].mean((1, 2)), expected, atol=0.05)


def test_a_photos_scores_do_not_depend_on_its_batch(store, checkpoint):
    store(["ok"] * 6)
    everything = run(checkpoint)
    alone = everything.iloc[[5]].reset_index(drop=True)
    downloads = pd.read_parquet("downloads.parquet")
    tables.write(Path("downloads.parquet"), "downloads", downloads.iloc[[5]])
    pd.testing.assert_frame_equal(run(checkpoint), alone, atol=2e-6)


def test_threads_and_repetition_do_not_matter(store, checkpoint):
    store(["ok"] * 3)
    run(checkpoint, name="1.parquet")
    run(checkpoint, name="2.parquet")
    assert Path("1.parquet").read_bytes() == Path("2.parquet").read_bytes()
    pd.testing.assert_frame_equal(
        run(checkpoint, threads=2), pd.read_parquet("1.parquet"), atol=2e-6
    )


def test_a_photo_that_does_not_decode_has_a_row_without_scores(store, checkpoint):
    store(["ok", "ok", "ok"])
    Path("photos/a/1.jpg").write_bytes(b"not a picture")
    got = run(checkpoint)
    assert list(got["io_vote"].isna()) == [False, True, False]
    assert list(got["scene_top1"].isna()) == [False, True, False]


def test_a_changed_photo_has_a_row_without_scores(store, checkpoint, caplog):
    rows = store(["ok", "ok", "ok"])
    rows["sha256"] = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in rows["path"]]
    tables.write(Path("downloads.parquet"), "downloads", rows)
    assert run(checkpoint)["io_vote"].notna().all()
    Path("photos/a/0.jpg").write_bytes(Path("photos/a/2.jpg").read_bytes())
    got = run(checkpoint)
    assert list(got["io_vote"].isna()) == [True, False, False]
    assert "photos/a/0.jpg cannot be decoded: it is not the file" in caplog.text


def test_no_photos_give_an_empty_table(store, checkpoint):
    store(["gone"])
    assert len(run(checkpoint)) == 0
    assert list(pd.read_parquet("scenes.parquet").columns) == list(tables.SCENES)


def test_a_wrong_run_folder_is_reported(store, checkpoint, tmp_path, monkeypatch):
    store(["ok"])
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    with pytest.raises(UserError, match="photo store"):
        scenes.run(SPEC, tmp_path / "downloads.parquet", checkpoint, Path("s.parquet"))


class Foreign:
    pass


def damaged(kind, folder, good):
    path = folder / f"{kind}.pth.tar"
    whole = good.read_bytes()
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "web_page":
        path.write_bytes(b"<!DOCTYPE html><html>404</html>")
    elif kind == "whole_model":
        torch.save(Foreign(), path, _use_new_zipfile_serialization=False)
    elif kind == "list":
        torch.save([torch.zeros(2)], path)
    elif kind == "other_classes":
        published(path, resnet18(num_classes=1000))
    elif kind == "other_network":
        torch.save({"state_dict": {"module.x": torch.zeros(3)}}, path)
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "does not exist"),
        ("truncated", "truncated"),
        ("empty", "truncated"),
        ("web_page", "truncated or of another format"),
        ("whole_model", "pickled code"),
        ("list", "no `state_dict`"),
        ("other_classes", "does not fit `scenes.arch` resnet18"),
        ("other_network", "does not fit `scenes.arch` resnet18"),
    ],
)
def test_a_useless_checkpoint_is_one_sentence_naming_the_file(tmp_path, checkpoint, kind, says):
    path = damaged(kind, tmp_path, checkpoint)
    with pytest.raises(UserError) as error:
        network.load(path, "resnet18")
    text = str(error.value)
    assert says in text
    assert str(path) in text
    assert "\n" not in text
    assert text.endswith(".")


def test_a_bare_torchvision_state_dict_is_accepted(tmp_path):
    net = trained_net(5).eval()
    torch.save(net.state_dict(), tmp_path / "bare.pt")
    loaded = network.load(tmp_path / "bare.pt", "resnet18")
    pixels = torch.rand(1, 3, 224, 224)
    assert torch.equal(loaded(pixels), net(pixels))


@pytest.mark.parametrize(
    ("arch", "as_published"),
    [
        # In 2017 only AlexNet's convolutions were spread over devices, and DenseNet's layer names
        # had a dot before the number.
        ("alexnet", lambda key: re.sub(r"^features\.", "features.module.", key)),
        ("densenet161", lambda key: "module." + re.sub(r"(norm|conv)([12])\.", r"\1.\2.", key)),
        ("convnext_tiny", lambda key: key),
    ],
)
def test_the_other_networks_load_too(tmp_path, arch, as_published):
    net = get_model(arch, weights=None, num_classes=365).eval()
    state = {as_published(key): value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "net.pth.tar")
    loaded = network.load(tmp_path / "net.pth.tar", arch)
    for key, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


@pytest.mark.parametrize("arch", ["resnet18", "wideresnet18", "resnet50", "alexnet"])
def test_folded_normalisations_leave_the_function_as_it_is(arch):
    torch.manual_seed(0)
    net = network.network(arch).eval()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2)
    pictures = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        before = net(pictures)
        after = network.fold(net)(pictures)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4 * float(before.abs().max()))
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())


def test_another_file_than_the_one_with_that_sha256_is_refused(store, checkpoint, tmp_path):
    store(["ok"])
    right = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    wrong = "0" * 64
    for sha256 in (right, wrong):
        spec = {**SPEC, "scenes": {"arch": "resnet18", "sha256": sha256}}
        args = spec, Path("downloads.parquet"), checkpoint, tmp_path / sha256
        if sha256 == right:
            assert len(scenes.run(*args)) == 1
            continue
        with pytest.raises(UserError, match=right):
            scenes.run(*args)
        assert not (tmp_path / sha256).exists()


def test_the_log_names_the_checkpoint_and_its_sha256(store, checkpoint, caplog):
    store(["ok"])
    with caplog.at_level("INFO"):
        run(checkpoint)
    assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() in caplog.text
    assert checkpoint.name in caplog.text


def test_command_line(store, checkpoint):
    store(["ok"])
    args = ["--spec", json.dumps(SPEC), "--photos", "downloads.parquet"]
    scenes.main([*args, "--checkpoint", str(checkpoint), "--table", "out/s.parquet"])
    assert len(tables.read(Path("out/s.parquet"), "scenes")) == 1


def test_a_checkpoint_changed_after_the_fetch_is_refused(store, checkpoint, tmp_path):
    """The record lies beside a file fetched by `weights`; a user's own file has none."""
    store(["ok"])
    own = tmp_path / "net.pth.tar"
    own.write_bytes(checkpoint.read_bytes())
    record = tmp_path / "net.pth.tar.sha256"
    record.write_text(f"{hashlib.sha256(own.read_bytes()).hexdigest()}  net.pth.tar\n")
    run(own)
    record.write_text(f"{'0' * 64}  net.pth.tar\n")
    with pytest.raises(UserError, match="fetched first"):
        run(own)
