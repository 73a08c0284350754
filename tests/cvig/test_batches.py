import pickle
import time
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_pairs import write_pack
from pyproj import Geod

from witw.cvig.batches import Batch, ahead, draw, read, split
from witw.dataset.packed import PICTURES, Packed
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


@pytest.mark.parametrize("kind", [0, 1])
def test_a_damaged_picture_is_not_trained_on(tmp_path, kind):
    write_pack(tmp_path, 8, 1)
    start, length = Packed.open(tmp_path).spans[5, kind]
    with (tmp_path / PICTURES).open("r+b") as file:
        file.seek(start + length // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 16]))
    data = Packed.open(tmp_path)
    assert len(read(data, np.array([4, 6]))) == 2
    with pytest.raises(UserError, match="pictures of row 5 are damaged; delete the folder") as told:
        read(data, np.array([4, 5]))
    assert str(tmp_path) in str(told.value)


def test_reading_ahead_keeps_order_and_passes_errors_on():
    assert list(ahead(iter(range(20)))) == list(range(20))

    def broken():
        yield 1
        raise KeyError("row")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(KeyError, match="row"):
        next(items)


def test_reading_ahead_stops_when_abandoned():
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
    (tmp_path / "b" / PICTURES).replace(tmp_path / "a" / PICTURES)
    with pytest.raises(UserError, match="run again"):
        Packed.open(tmp_path / "a")


def test_an_epoch_takes_one_photo_of_every_bucket(tmp_path):
    write_pack(tmp_path, 60, 0, aois=("a", "b"), spacing_m=10.0)
    data = Packed.open(tmp_path)
    buckets = data.buckets(50.0)
    # In a row of photos 10 m apart, a square of 50 m contains five, and fewer at the ends.
    lengths = np.unique(buckets, return_counts=True)[1]
    assert set(lengths[1:-1]) == {5}
    assert len(lengths) in (12, 13)
    epochs = [draw(buckets, 0, epoch) for epoch in range(40)]
    for rows in epochs:
        assert sorted(buckets[rows]) == list(range(len(lengths)))
    assert set(np.concatenate(epochs)) == set(range(60))  # each has its turn
    assert np.array_equal(epochs[3], draw(buckets, 0, 3))


def test_photos_of_one_place_share_a_bucket_across_areas(tmp_path):
    write_pack(tmp_path, 4, 0, aois=("a", "b"), spacing_m=0.0)
    assert Packed.open(tmp_path).buckets(50.0).tolist() == [0, 0, 0, 0]


def test_positions_compare_across_the_border_of_two_zones(tmp_path):
    """The photos are 20 m apart at 6 degrees east, in zones 31 and 32; PROJ gives the distance."""
    write_pack(tmp_path, 2, 0, aois=("a", "b"))
    data = Packed.open(tmp_path)
    lon, lat, _ = Geod(ellps="WGS84").fwd(5.9999, 50.0, 90.0, 20.0)
    rows = data.table.assign(lon=[5.9999, lon], lat=[50.0, lat], easting=[715e3, 285e3])
    apart = np.diff(replace(data, table=rows).positions, axis=0)
    assert np.linalg.norm(apart) == pytest.approx(20.0, abs=1e-4)


def test_a_batch_can_be_cut():
    values = [torch.arange(12).reshape(4, 3)] * 5
    part = Batch(*values)[1:3]
    assert len(part) == 2
    assert torch.equal(part.fov_deg, values[0][1:3])


@pytest.mark.parametrize("cut", [0, 5, 0.2, 0.9, 0.999])
def test_a_truncated_pack_is_reported(tmp_path, cut):
    write_pack(tmp_path, 8, 1)
    path = tmp_path / PICTURES
    body = path.read_bytes()
    path.write_bytes(body[: int(cut * len(body)) if cut < 1 else cut])
    with pytest.raises(UserError, match="delete the folder and run again"):
        Packed.open(tmp_path)


def test_flipped_bits_are_reported_or_harmless(tmp_path):
    """Anywhere in the file: wrong offsets must not crash or return another picture."""
    write_pack(tmp_path, 8, 1, chip_px=16, photo_px=16)
    path, rows = tmp_path / PICTURES, np.arange(8)
    body, right = path.read_bytes(), Packed.open(tmp_path).pictures(rows)
    told = 0
    for at in np.random.default_rng(0).choice(len(body), 200, replace=False):
        path.write_bytes(body[:at] + bytes([body[at] ^ 64]) + body[at + 1 :])
        try:
            found = Packed.open(tmp_path).pictures(rows)
        except UserError as error:
            told += "delete the folder" in str(error)
        else:
            assert all(np.array_equal(a, b) for a, b in zip(found, right, strict=True)), at
    assert told > 100


def test_threads_and_processes_read_the_same(tmp_path):
    write_pack(tmp_path, 40, 1)
    rows = np.random.default_rng(0).permutation(40)
    one = Packed.open(tmp_path).pictures(rows)
    several = Packed.open(tmp_path, 3)
    for data in (several, pickle.loads(pickle.dumps(several))):
        for a, b in zip(one, data.pictures(rows), strict=True):
            assert np.array_equal(a, b)


def test_a_checksum_is_compared_once(tmp_path, monkeypatch):
    write_pack(tmp_path, 8, 1)
    data, sums = Packed.open(tmp_path), []
    plain = zlib.crc32
    monkeypatch.setattr(
        "witw.dataset.packed.zlib.crc32", lambda body: sums.append(1) or plain(body)
    )
    for _ in range(3):
        data.pictures(np.array([2, 3]))
    assert len(sums) == 4


def test_an_owner_gives_at_most_the_cap_and_each_photo_has_its_turn(tmp_path):
    owners = [0] * 30 + [1] * 3 + list(range(2, 9))
    write_pack(tmp_path, 40, 0, owners=owners)
    data = Packed.open(tmp_path)
    epochs = [draw(data.buckets(0), 0, epoch, data.owners, 5) for epoch in range(60)]
    for rows in epochs:
        counts = np.bincount(np.array(owners)[rows])
        assert counts.tolist() == [5, 3] + [1] * 7
    assert set(np.concatenate(epochs)) == set(range(40))
    assert np.array_equal(epochs[3], draw(data.buckets(0), 0, 3, data.owners, 5))
    assert np.array_equal(draw(data.buckets(0), 0, 3), draw(data.buckets(0), 0, 3, data.owners, 0))


def test_unknown_owners_are_not_one_owner(tmp_path):
    write_pack(tmp_path, 6, 0)
    data = Packed.open(tmp_path)
    unknown = replace(data, table=data.table.assign(owner=[None, None, "", "a", "a", "b"]))
    assert np.bincount(unknown.owners).tolist() == [1, 1, 1, 2, 1]
