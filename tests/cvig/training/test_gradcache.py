import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_pairs import SMALL, write_pack

from witw.cvig import batches, retrieval
from witw.cvig.network import augment
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.towers import Network
from witw.cvig.training import gradcache, loss
from witw.cvig.training.distributed import Processes
from witw.dataset.packed import Packed
from witw.errors import UserError

HERE = Path(__file__).parents[1]
COUNT = 12


@pytest.fixture
def data(tmp_path):
    write_pack(tmp_path, COUNT, 4, aois=("a", "b"), spacing_m=40.0)
    return Packed.open(tmp_path)


def gradients(data, micro_batch, **changes):
    """Return loss and gradients of one batch, including augmentation and dropout."""
    settings = SMALL.model_copy(update={"dropout": 0.3, **changes})
    torch.manual_seed(0)
    network = Network(Architecture.of(settings, 225.0, 32, 24)).train()
    batch = batches.read(data, batches.draw(data.buckets(0), 0, 0))
    jitter = augment.draw(COUNT, settings, 225.0, 7)
    value = gradcache.backward(
        network, batch, jitter, loss.chosen(settings), settings.mask_radius_m, micro_batch,
        vector_weight=settings.vector_weight,
    )  # fmt: skip
    return value, {k: p.grad for k, p in network.named_parameters() if p.grad is not None}


def distance(first, second):
    """Return the largest relative difference of a parameter's gradient."""
    return max(((first[k] - second[k]).norm() / second[k].norm()).item() for k in second)


@pytest.mark.parametrize("micro_batch", [1, 5, 6])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": "decoupled"},
        {"head": "global"},
        {"fov_crop": 0.7, "jpeg": 0.5, "blur": 0.5, "grey": 0.3},
        {"backbone": "test_vit", "head": "global", "drop_path": 0.4},
    ],
)
def test_parts_give_the_gradients_of_the_whole(data, micro_batch, changes):
    value, parts = gradients(data, micro_batch, **changes)
    expected, whole = gradients(data, 0, **changes)
    assert parts.keys() == whole.keys()
    assert "log_scale" in whole
    assert ("vector_log_scale" in whole) == ("head" not in changes)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert distance(parts, whole) < 1e-5


def test_the_original_loss_and_head_work_in_parts(data):
    changes = {"loss": "triplet", "head": "original", "projection": "stretched"}
    parts, whole = gradients(data, 5, **changes)[1], gradients(data, 0, **changes)[1]
    assert "log_scale" not in whole
    assert distance(parts, whole) < 1e-5


def test_the_gradients_equal_plain_autograds(data):
    value, found = gradients(data, 5)
    settings = SMALL.model_copy(update={"dropout": 0.3})
    torch.manual_seed(0)
    network = Network(Architecture.of(settings, 225.0, 32, 24)).train()
    batch = batches.read(data, batches.draw(data.buckets(0), 0, 0))
    jitter = augment.draw(COUNT, settings, 225.0, 7)
    photo, chip = retrieval.encode_batch(network, batch, jitter)
    mask = loss.false_negative_mask(batch.position, settings.mask_radius_m)
    assert mask.any()
    columns = loss.info_nce(network.match(*photo[:2], chip.columns), network.scale, mask)
    cosines = network.match_vectors(photo.vector, chip.vector)
    weight = settings.vector_weight
    plain = columns + weight * loss.info_nce(cosines, network.vector_scale, mask)
    plain = plain / (1 + weight)
    plain.backward()
    assert value.item() == pytest.approx(plain.item(), rel=1e-6)
    assert distance(found, {k: p.grad for k, p in network.named_parameters()}) < 1e-5


def test_dropout_and_augmentation_are_drawn(data):
    """Otherwise the test above would prove little."""
    value, _ = gradients(data, 5)
    assert value != gradients(data, 5, dropout=0.0)[0]
    assert value != gradients(data, 5, shift_m=0.0)[0]


def test_a_batch_that_cannot_be_shared_out_is_refused():
    assert Processes(1, 4).shard(8) == slice(2, 4)
    with pytest.raises(UserError, match="9 pairs cannot be shared out among 4 processes"):
        Processes(1, 4).shard(9)


PROCESS = """
import sys, torch
from pathlib import Path
from test_gradcache import COUNT
from made_pairs import SMALL
from witw.cvig import batches
from witw.dataset.packed import Packed
from witw.cvig.network import augment
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.towers import Network
from witw.cvig.training import distributed, gradcache, loss
folder = Path(sys.argv[1])
torch.set_num_threads(1)
settings = SMALL.model_copy(update={"dropout": 0.3})
with distributed.connect() as processes:
    torch.manual_seed(0)
    network = Network(Architecture.of(settings, 225.0, 32, 24)).train()
    data = Packed.open(folder)
    own = processes.shard(COUNT)
    batch = batches.read(data, batches.draw(data.buckets(0), 0, 0)[own])
    jitter = augment.draw(COUNT, settings, 225.0, 7)[own]
    value = gradcache.backward(network, batch, jitter, loss.chosen(settings),
        settings.mask_radius_m, int(sys.argv[2]), processes, settings.vector_weight)
    grads = {k: p.grad for k, p in network.named_parameters()}
    torch.save((value, grads), folder / f"{processes.rank}.pt")
"""


@pytest.mark.parametrize("micro_batch", [pytest.param(0, marks=pytest.mark.long), 4])
def test_two_processes_give_loss_and_gradients_of_one(data, tmp_path, micro_batch):
    script = tmp_path / "process.py"
    script.write_text(PROCESS)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    paths = os.pathsep.join([str(HERE), str(HERE / "training"), *sys.path])
    done = subprocess.run(
        [*torchrun, script, tmp_path, str(micro_batch)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    expected, whole = gradients(data, 0)
    for rank in range(2):
        value, found = torch.load(tmp_path / f"{rank}.pt")
        assert value.item() == pytest.approx(expected.item(), rel=1e-6)
        assert distance(found, whole) < 1e-5
    assert found.keys() == whole.keys()
