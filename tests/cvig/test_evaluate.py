import json

import numpy as np
import pytest
import torch
from made_pairs import write_pack
from PIL import Image

from witw import tables
from witw.cvig import evaluate, search
from witw.cvig.batches import Packed
from witw.cvig.model import Model
from witw.errors import UserError


def score(model, folder, out):
    out.mkdir(exist_ok=True)
    paths = out / "metrics.json", out / "ranks.parquet", out / "recall.png"
    return evaluate.run(model, folder / "test", *paths), *paths


def test_beats_chance_by_far_on_areas_never_seen(trained, tmp_path):
    values, metrics, ranks, plot = score(trained / "model.pt", trained, tmp_path / "a")
    assert values == json.loads(metrics.read_text())
    chips = values["protocols"]["chips"]
    assert chips["n"] == 90
    assert chips["recall_at_10"] > 3 * chips["chance"]["recall_at_10"]
    assert chips["median_percentile"] < 8
    assert {name: area["n"] for name, area in chips["areas"].items()} == {"y": 30, "z": 60}
    assert chips["chance"]["recall_at_1"] == pytest.approx(100 * (1 + 1) / 90, abs=1e-3)
    table = tables.read(ranks, "ranks")
    assert table["gallery"].value_counts().to_dict() == {60: 60, 30: 30}
    assert 100 * (table["rank"] <= 5).mean() == pytest.approx(chips["recall_at_5"], abs=1e-3)
    error = table["heading_deg"].to_numpy(float) - np.load(trained / "headings.npy")
    assert np.median(np.abs((error + 180) % 360 - 180)) < 12
    with Image.open(plot) as picture:
        assert picture.width >= 600


def test_the_same_inputs_give_the_same_bytes(trained, tmp_path):
    _, *first = score(trained / "model.pt", trained, tmp_path / "a")
    _, *again = score(trained / "model.pt", trained, tmp_path / "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_a_constant_embedding_is_not_above_chance(trained, tmp_path, bias):
    model = Model.load(trained / "model.pt", torch.device("cpu"))
    for tower in (model.network.photo, model.network.overhead):
        last = [m for m in tower.modules() if isinstance(m, torch.nn.Conv2d)][-1]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.constant_(last.bias, bias)
    model.save(tmp_path / "constant.pt")
    chips = score(tmp_path / "constant.pt", trained, tmp_path)[0]["protocols"]["chips"]
    for name, guess in chips["chance"].items():
        if name.startswith("recall"):
            assert chips[name] <= guess
    assert chips["median_percentile"] >= 50


def test_scoring_in_blocks_changes_nothing(trained, monkeypatch):
    model = Model.load(trained / "model.pt", torch.device("cpu"))
    test = Packed.open(trained / "test")
    codes = search.encode(model.network, test, torch.device("cpu"))
    whole = search.find(codes, test.areas)
    monkeypatch.setattr(search, "PHOTOS", 7)
    monkeypatch.setattr(search, "CELLS", 11)
    blocks = search.find(codes, test.areas)
    assert np.array_equal(whole.rank, blocks.rank)
    np.testing.assert_allclose(whole.heading_deg, blocks.heading_deg, atol=0.01)


def test_temperature_is_the_likeliest(trained):
    """A row of scores drawn with a known temperature gives it back, nearly."""
    rng = np.random.default_rng(0)
    n, true = 400, 0.05
    scores = rng.uniform(0, 0.3, (n, n)).astype(np.float32)
    odds = np.exp(scores / true)
    own = np.array([rng.choice(n, p=row / row.sum()) for row in odds])
    # by_area wants photo i's own chip in column i.
    for i, j in enumerate(own):
        scores[i, [i, j]] = scores[i, [j, i]]

    def blocks(_codes, _areas):
        yield np.arange(n), np.arange(n), scores, scores

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "by_area", blocks)
        assert search.fit_temperature(None, None) == pytest.approx(true, rel=0.2)


def test_a_file_that_is_no_model_is_named(trained, tmp_path):
    (tmp_path / "model.pt").write_bytes(b"no")
    with pytest.raises(UserError, match=r"model\.pt is not a readable model"):
        score(tmp_path / "model.pt", trained, tmp_path)
    torch.save({"weights": {}}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="not written by this version"):
        score(tmp_path / "model.pt", trained, tmp_path)


def test_command_line(trained, tmp_path):
    write_pack(tmp_path / "test", 12, 4)
    argv = ["--spec", '{"stage":"evaluate","version":1}', "--threads", "1"]
    options = {"test": "test", "metrics": "e/m.json", "ranks": "e/r.parquet", "plot": "e/p.png"}
    for name, value in options.items():
        argv += [f"--{name}", str(tmp_path / value)]
    evaluate.main([*argv, "--model", str(trained / "model.pt")])
    assert json.loads((tmp_path / "e/m.json").read_text())["protocols"]["chips"]["n"] == 12
