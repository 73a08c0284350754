"""The forecast of a training, compared with the network itself."""

import pandas as pd
import pytest
import torch

from witw.commands import forecast
from witw.config import load
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.towers import Network
from witw.cvig.training import cost
from witw.errors import UserError
from witw.settings.pack import Pack
from witw.settings.train import Train

BOX = {"strips": ["a.tif"]}
RAW = {
    "aois": {
        "oslo": {"bbox_deg": [10.7, 59.9, 10.8, 59.95], **BOX},
        "bern": {"bbox_deg": [7.4, 46.9, 7.5, 46.97], "split": "val", **BOX},
        "lima": {"bbox_deg": [-77.1, -12.1, -77.0, -12.0], "split": "test", **BOX},
    }
}


def config(**train):
    return load(RAW | {"train": train})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_listed(folder, **counts):
    """Write the photos listed by a finished search, for each area."""
    for name, count in counts.items():
        path = folder / "results" / name / "photos.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"id": [str(n) for n in range(count)]}).to_parquet(path)


@pytest.mark.parametrize(
    ("train", "pack"),
    [
        ({}, {}),
        ({"head": "global"}, {}),
        (
            {"width": 48, "blocks": 1, "polar_rows": 24, "photo_rows": 48, "photo_band": 0.35},
            {"chip_px": 96, "photo_px": 64},
        ),
    ],
)
def test_the_small_networks_work_is_counted_without_torch(train, pack):
    found = forecast._small(load(RAW | {"train": train, "pack": pack}))
    expected = cost.measure(Train(**train), 225.0, Pack(**pack)).forward_flop
    assert found == pytest.approx(expected, rel=0.02)


def test_the_cost_equals_the_networks_own():
    settings, pack = Train(backbone="test_vit", micro_batch=16, ema=0.9), Pack()
    found = cost.measure(settings, 225.0, pack)
    network = Network(Architecture.of(settings, 225.0, 256, 256)).eval()
    assert found.parameters == sum(p.numel() for p in network.parameters())
    products, attention = [], []

    def count(layer, _, output):
        products.append(output.numel() * layer.weight[0].numel())
        if getattr(layer, "out_features", 0) == 3 * 64:  # queries, keys and values of 64
            attention.append(2 * 64 * output.shape[1] ** 2)

    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network.photo(torch.zeros(1, 3, *network.shape.photo_view))
        network.overhead(torch.zeros(1, 3, *network.shape.polar_view))
    assert attention
    # torch counts one of attention's two products, or both.
    found_attention = found.forward_flop / 2 - sum(products)
    assert 0.49 < found_attention / sum(attention) < 1.01
    assert found.pair_flop(settings) == 4 * found.forward_flop
    assert found.pair_flop(settings.model_copy(update={"micro_batch": 0})) == 3 * found.forward_flop
    more = settings.model_copy(update={"micro_batch": 32})
    step = found.memory_bytes(more) - found.memory_bytes(settings)
    assert step == 16 * found.kept_values * 2


def test_a_line_states_network_device_time_and_size(folder):
    write_listed(folder, oslo=900, bern=100, lima=200)
    (line,) = forecast.sentences(config(), is_local=True)
    assert line.startswith("Training: small, from scratch; 30 epochs of at most 900 pairs on ")
    assert "CPU core" in line
    assert "about" in line
    assert "packed pairs take 0.077 GB" in line  # 1,200 of two squares of 256 px


def test_before_a_search_it_assumes_a_hundred_thousand_photos(folder):
    (line,) = forecast.sentences(config(), is_local=True)
    assert "hours per 100,000 pairs" in line


def test_counted_pairs_come_before_listed_photos(folder):
    write_listed(folder, oslo=900, bern=100, lima=200)
    rows = pd.DataFrame({"status": ["paired"] * 5 + ["gone"] * 9})
    rows.to_parquet(folder / "results/oslo/pairs.parquet")
    assert forecast.pairs_of(config()) == 5
    assert forecast.pairs_of(config(), ("train", "val", "test")) == 305


def test_a_small_network_for_many_pairs_is_a_waste(folder):
    write_listed(folder, oslo=20_001, bern=1, lima=1)
    _, note = forecast.sentences(config(), is_local=True)
    assert note.startswith("Note: `train.backbone: small` trains from scratch, but 20,001 pairs")
    assert "config.yaml" in note
    assert "configs/gpu_80gb.yaml" in note
    write_listed(folder, oslo=20_000)
    assert len(forecast.sentences(config(), is_local=True)) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_transformer_without_a_gpu_is_pointed_to_the_other_config(folder):
    line, note = forecast.sentences(config(backbone="test_vit", weights="timm"), is_local=True)
    assert "test_vit, pretrained, 1 million parameters" in line
    assert "configs/cpu.yaml" in note
    (line,) = forecast.sentences(config(backbone="test_vit"), is_local=False)
    assert "on a GPU of the cluster" in line
    assert "GB of its memory" in line


def test_an_impossible_network_is_reported_before_the_first_job(folder):
    with pytest.raises(UserError, match="timm has no model 'vit_of_no_size'"):
        forecast.sentences(config(backbone="vit_of_no_size"), is_local=True)


def test_a_gpu_too_small_for_the_parts_of_a_batch():
    made = forecast.Training(None, "NVIDIA A10", 1.0, 30e9, 24_000_000_000, 1, 1.0)
    (note,) = forecast.warnings(config(backbone="test_vit"), made)
    assert (
        "NVIDIA A10 has 24 GB, and the training needs about 30 GB: reduce `train.micro_batch`"
        in note
    )


def test_a_damaged_table_is_left_to_the_stage_that_reads_it(folder):
    path = folder / "results/oslo/pairs.parquet"
    path.parent.mkdir(parents=True)
    path.write_text("no table")
    assert forecast.pairs_of(config()) is None


@pytest.mark.parametrize(
    ("hours", "told"),
    [(0.001, "1 minute"), (0.5, "30 minutes"), (1.26, "1.3 hours"), (48.4, "48 hours")],
)
def test_durations(hours, told):
    assert forecast.duration(hours) == told
