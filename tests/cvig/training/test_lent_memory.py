"""Workers use their memory again, and never while anyone still looks at it."""

import gc

import pytest
import torch
from made_pairs import write_pack
from torch.utils.data import DataLoader, default_collate

from witw import Pairs
from witw.cvig.training import lent_memory

COUNT, BATCH = 96, 4
BATCHES = COUNT // BATCH


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lent") / "pack"
    write_pack(folder / "train", COUNT, 1)
    return folder


@pytest.fixture(scope="module")
def right(pack):
    """Photos and chips as this process reads them."""
    return default_collate(Pairs(pack).__getitems__(list(range(COUNT))))


def counted(items):
    """As by default, and how many pieces of memory the worker has by now."""
    batch = default_collate(items)
    batch["pieces"] = len(lent_memory._pieces)
    return batch


def loader(pack, **more):
    return DataLoader(Pairs(pack), BATCH, num_workers=1, **more)


def assert_right(batches, right):
    for at, batch in enumerate(batches):
        rows = slice(at * BATCH, (at + 1) * BATCH)
        for kind in ("photo", "chip"):
            assert torch.equal(batch[kind], right[kind][rows]), (at, kind)


def test_what_the_parent_let_go_is_used_again(pack, right):
    most = 0
    for at, batch in enumerate(loader(pack, collate_fn=counted)):
        assert torch.equal(batch["photo"], right["photo"][at * BATCH : (at + 1) * BATCH])
        assert type(batch) is dict
        most = max(most, batch["pieces"])
        del batch
    # Two pictures each of the batches on their way, in work, and here.
    assert 2 <= most <= 12 < 2 * BATCHES


def test_what_the_parent_keeps_is_never_written_again(pack, right):
    batches = list(loader(pack, collate_fn=counted))
    assert batches[-1]["pieces"] >= 2 * (BATCHES - 1)
    assert_right(batches, right)


def test_a_view_alone_keeps_its_memory(pack, right):
    corners = [batch["chip"][1:2, :, :5, :5] for batch in loader(pack)]
    gc.collect()
    for at, corner in enumerate(corners):
        assert torch.equal(corner[0], right["chip"][at * BATCH + 1, :, :5, :5])


def test_workers_that_stay_and_a_loop_left_early(pack, right):
    several = loader(pack, collate_fn=counted, persistent_workers=True)
    for _ in range(6):
        next(iter(several))
    last = [(batch["photo"].clone(), batch["pieces"]) for batch in several]
    assert_right([{"photo": p, "chip": right["chip"][a * BATCH : (a + 1) * BATCH]}
                  for a, (p, _) in enumerate(last)], right)  # fmt: skip
    assert last[-1][1] <= 12


def test_items_as_they_are_and_scaled_pictures(pack, right):
    lists = list(loader(pack, collate_fn=list))
    assert_right([default_collate([dict(item) for item in items]) for items in lists], right)
    scaled = Pairs(pack, size=12)
    whole = default_collate(scaled.__getitems__(list(range(COUNT))))
    assert_right(list(DataLoader(scaled, BATCH, num_workers=1)), whole)
