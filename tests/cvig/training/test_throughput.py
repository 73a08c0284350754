import re

import pytest
import torch
from made_pairs import SMALL, write_pack
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from witw.cvig import batches
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.towers import Network
from witw.cvig.training import throughput
from witw.cvig.training.tensorboard import Events
from witw.cvig.training.throughput import ThroughputMeter, flops
from witw.dataset.packed import Packed


def test_flops_are_three_times_those_of_the_layers(tmp_path):
    """Forward takes two operations per product, backward twice that."""
    write_pack(tmp_path, 2, 0)
    data = Packed.open(tmp_path)
    network = Network(Architecture.of(SMALL, 225.0, 32, 24))
    products, hooks = [], []

    def count(layer, inputs, output):
        products.append(output.numel() * layer.weight[0].numel())

    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            hooks.append(layer.register_forward_hook(count))
    found = flops(network, batches.read(data, batches.draw(data.buckets(0), 0, 0)))
    assert found == pytest.approx(3 * 2 * sum(products), rel=0.05)


def test_speed_and_waiting_are_measured(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(throughput.time, "monotonic", lambda: now[0])
    watch = ThroughputMeter(Events(tmp_path), 10, 0, 2000.0)

    def items():
        for item in range(2):
            now[0] += 1.0  # the taker waits a second for each
            yield item

    for item in watch.waiting(items()):
        now[0] += 3.0  # and works for three
        watch.step(item + 1, 40, torch.tensor(2.5), 1e-3)
    watch.close()
    assert watch.figures["pairs/s"] == pytest.approx(10)
    assert watch.figures["data wait %"] == pytest.approx(25)
    assert watch.figures["GFLOP/s"] == pytest.approx(10 * 2000 / 1e9)
    shown = EventAccumulator(str(tmp_path)).Reload()
    tags = {"train/loss", "train/rate", "speed/pairs/s", "speed/data wait %", "speed/GFLOP/s"}
    assert set(shown.Tags()["scalars"]) == tags
    assert [(e.step, e.value) for e in shown.Scalars("speed/pairs/s")] == [(1, 10.0), (2, 10.0)]


def test_the_loss_is_read_only_when_shown(monkeypatch):
    """Reading the loss waits for the GPU's queue."""
    now = [0.0]
    monkeypatch.setattr(throughput.time, "monotonic", lambda: now[0])
    reads = []

    class Loss:
        def __float__(self):
            reads.append(now[0])
            return 1.0

    watch = ThroughputMeter(Events(None), 100, 0, 1.0)
    for step in range(100):
        now[0] += 0.1
        watch.step(step, 1, Loss(), 1e-3)
    watch.close()
    assert len(reads) <= 10


def test_a_process_that_shows_nothing_reads_nothing(capsys):
    watch = ThroughputMeter(Events(None), 5, 0, 1.0, shown=False)
    watch.since -= 100
    watch.step(1, 1, None, 1e-3)
    watch.close()
    assert watch.figures == {}
    assert capsys.readouterr().err == ""


def test_the_bar_shows_all_live_figures(monkeypatch, capsys):
    """Loss, pairs per second, data wait, time left, and the last epoch's validation."""
    now = [100.0]
    monkeypatch.setattr(throughput.time, "monotonic", lambda: now[0])
    watch = ThroughputMeter(Events(None), 4, 0, 2000.0)
    watch.bar.mininterval = 0
    watch.validated({"epoch": 3, "loss": 1.0, "val_median_percentile": 6.44})
    for step in range(3):
        now[0] += 2.0
        watch.step(step + 1, 40, torch.tensor(2.5), 1e-3)
    watch.close()
    line = capsys.readouterr().err.splitlines()[-1]
    for part in ("loss=2.500", "pairs/s=20", "data wait %=0", "val median rank=6.4% (epoch 3)"):
        assert part in line, line
    assert re.search(r"3/4 \[[\d:]+<[\d:]+", line), line
