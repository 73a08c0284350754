import time

import numpy as np
import pytest
import torch
from made_pairs import write_pack
from pyproj import Geod

from witw.cvig.batches import Batch, Packed, ahead, draw, read, split
from witw.errors import UserError


def order(count, size, seed, epoch):
    return split(draw(np.arange(count), seed, epoch), size)


def test_batches_are_whole_and_distinct_and_leave_less_than_one_out():
    batches = order(154, 8, seed=0, epoch=3)
    rows = np.concatenate(batches)
    assert [len(batch) for batch in batches] == [8] * 19
    assert len(np.unique(rows)) == 152
    assert set(rows) <= set(range(154))


def test_order_is_a_function_of_seed_and_epoch():
    first, again = (np.concatenate(order(100, 8, 0, 1)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, np.concatenate(order(100, 8, 0, 2)))
    assert not np.array_equal(first, np.concatenate(order(100, 8, 1, 1)))


def test_fewer_rows_than_a_batch_are_one_batch():
    assert [sorted(batch) for batch in order(5, 64, 0, 0)] == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("name", ["photos", "chips"])
def test_a_damaged_picture_is_not_learnt_from(tmp_path, name):
    write_pack(tmp_path, 8, 1)
    array = np.load(tmp_path / f"{name}.npy", mmap_mode="r+")
    array[5, 3, 2, 1] ^= 16
    array.flush()
    data = Packed.open(tmp_path)
    assert len(read(data, np.array([4, 6]))) == 2
    with pytest.raises(UserError, match="pictures of row 5 are damaged; delete the folder") as told:
        read(data, np.array([4, 5]))
    assert str(tmp_path) in str(told.value)


def test_ahead_keeps_order_and_passes_errors_on():
    assert list(ahead(iter(range(20)))) == list(range(20))

    def broken():
        yield 1
        raise KeyError("row")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(KeyError, match="row"):
        next(items)


def test_ahead_stops_reading_when_left():
    made = []

    def endless():
        while True:
            made.append(len(made))
            yield made[-1]

    items = ahead(endless(), depth=2)
    assert next(items) == 0
    items.close()
    count = len(made)
    time.sleep(0.05)
    assert len(made) == count <= 5


def test_packs_that_do_not_belong_together_are_refused(tmp_path):
    write_pack(tmp_path / "a", 6, 0)
    write_pack(tmp_path / "b", 5, 0)
    (tmp_path / "b" / "photos.npy").replace(tmp_path / "a" / "photos.npy")
    with pytest.raises(UserError, match="run again"):
        Packed.open(tmp_path / "a")


def test_an_epoch_takes_one_photo_of_every_bucket(tmp_path):
    write_pack(tmp_path, 60, 0, aois=("a", "b"), spacing_m=10.0)
    data = Packed.open(tmp_path)
    buckets = data.buckets(50.0)
    # Of photos in a row, 10 m apart, a square of 50 m holds five, at the row's ends fewer.
    lengths = np.unique(buckets, return_counts=True)[1]
    assert set(lengths[1:-1]) == {5}
    assert len(lengths) in (12, 13)
    epochs = [draw(buckets, 0, epoch) for epoch in range(40)]
    for rows in epochs:
        assert sorted(buckets[rows]) == list(range(len(lengths)))
    assert set(np.concatenate(epochs)) == set(range(60))  # each has its turn
    assert np.array_equal(epochs[3], draw(buckets, 0, 3))


def test_photos_of_one_place_share_a_bucket_whatever_their_areas(tmp_path):
    write_pack(tmp_path, 4, 0, aois=("a", "b"), spacing_m=0.0)
    assert Packed.open(tmp_path).buckets(50.0).tolist() == [0, 0, 0, 0]


def test_positions_compare_across_the_border_of_two_zones(tmp_path):
    """Photos 20 m apart at 6 degrees east, one in zone 31, one in 32; PROJ tells the distance."""
    write_pack(tmp_path, 2, 0, aois=("a", "b"))
    data = Packed.open(tmp_path)
    lon, lat, _ = Geod(ellps="WGS84").fwd(5.9999, 50.0, 90.0, 20.0)
    rows = data.table.assign(lon=[5.9999, lon], lat=[50.0, lat], easting=[715e3, 285e3])
    apart = np.diff(Packed(tmp_path, data.photos, data.chips, rows).positions, axis=0)
    assert np.linalg.norm(apart) == pytest.approx(20.0, abs=1e-4)


def test_a_batch_can_be_cut():
    values = [torch.arange(12).reshape(4, 3)] * 5
    part = Batch(*values)[1:3]
    assert len(part) == 2
    assert torch.equal(part.fov_deg, values[0][1:3])
