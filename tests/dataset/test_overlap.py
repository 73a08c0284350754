import pandas as pd

from witw import tables
from witw.dataset.overlap import Overlap, exclude, overlap


def pairs(*rows):
    """Return rows of ``id, owner, aoi, split, status``."""
    columns = ["id", "owner", "aoi", "split", "status"]
    return pd.DataFrame([dict(zip(columns, row, strict=True)) for row in rows])


def test_overlaps_equal_a_count_by_hand():
    table = pairs(
        ("1", "ann", "a", "train", "paired"),
        ("1", "ann", "b", "train", "paired"),  # a photo in two areas of one split
        ("2", "ann", "c", "test", "paired"),
        ("3", "bob", "c", "test", "paired"),
        ("4", "bob", "a", "train", "indoor"),  # not a pair
        ("5", "cyd", "a", "train", "paired"),
        ("5", "cyd", "c", "test", "paired"),  # a photo of two splits
        ("6", "dan", "v", "val", "paired"),
        ("7", "eve", "n", None, "paired"),  # an area of no split
    )
    assert overlap(table) == Overlap(
        owners=4,
        shared_owners=2,
        photos=5,
        shared_photos=1,
        repeated_photos=1,
        test_photos=3,
        test_photos_of_train_owners=2,
    )
    assert overlap(table).sentence == (
        "2 of 4 people have photos in more than one split; 2 of 3 test photos are by people whose "
        "photos are trained on; 1 of 5 photos are listed in more than one split and used in one of "
        "them only."
    )


def test_splits_with_nothing_in_common():
    table = pairs(("1", "ann", "a", "train", "paired"), ("2", "bob", "v", "val", "paired"))
    assert overlap(table).sentence == (
        "0 of 2 people have photos in more than one split; no photo is in more than one split."
    )


def test_an_empty_data_set_has_no_overlap():
    assert overlap(tables.frame("pairs")) == Overlap(0, 0, 0, 0, 0, 0, 0)


def test_exclusions_equal_a_count_by_hand():
    table = pairs(
        ("1", "ann", "a", "train", "paired"),
        ("1", "ann", "c", "test", "paired"),
        ("2", "ann", "a", "train", "paired"),
        ("3", "bob", "v", "val", "paired"),
        ("4", "bob", "a", "train", "paired"),
        ("5", "cyd", "a", "train", "paired"),
        ("6", "cyd", "c", "test", "indoor"),  # no pair, so it does not count
        ("7", None, "a", "train", "paired"),  # unknown owner
        ("8", None, "c", "test", "paired"),
        ("9", "dan", "a", "train", "shared"),  # from other splits: settled again
    )
    kept = [p if p != "shared" else "paired" for p in table["status"]]
    assert exclude(table, "keep").tolist() == kept

    def out(what):
        return table.index[exclude(table, what) == "shared"].tolist()

    assert out("photos") == [0]
    assert out("owners") == [0, 2, 4]
