"""The data card's statements about splits, compared with distances measured by PROJ."""

import re

import pytest
from pyproj import Geod

from witw.mistakes.areas import card_sentence

AREA = {"chip_px": 750, "gsd_m": 0.3}


def sentence(**boxes):
    splits = ("train", "val", "test")
    return card_sentence(
        {
            name: AREA | {"bbox_deg": box, "split": split}
            for (name, box), split in zip(boxes.items(), splits, strict=False)
        }
    )


def test_a_single_split_is_stated():
    assert sentence(oslo=[10, 59, 11, 60]) == "All areas are in the split `train`."


@pytest.mark.parametrize(
    ("one", "other", "corners"),
    [
        ([10, 59, 11, 60], [13, 59, 14, 60], (11, 60, 13, 60)),
        ([10, 59, 11, 60], [10, 62, 11, 63], (10.5, 60, 10.5, 62)),
        ([179, -17, 179.5, -16], [-179.5, -17, -179, -16], (179.5, -17, -179.5, -17)),
    ],
)
def test_distant_areas_are_stated_to_be_unseen(one, other, corners):
    said = sentence(a=one, b=other)
    assert "no place of `val` was seen in `train`" in said
    (km,) = re.findall(r"at least ([\d,.]+) km apart", said)
    metres = Geod(ellps="WGS84").inv(*corners)[2]
    assert float(km.replace(",", "")) == pytest.approx(metres / 1000, rel=0.005)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ([10.5, 59.5, 11.5, 60.5], "`a` (train) and `b` (val) overlap"),
        ([11, 59, 12, 60], "`a` (train) and `b` (val) lie 0 m apart"),
        ([10, 60.001, 11, 61], "`a` (train) and `b` (val) lie 111 m apart"),
    ],
)
def test_areas_within_a_chip_of_each_other_are_stated_to_be_seen(other, told):
    said = sentence(a=[10, 59, 11, 60], b=other)
    assert told in said
    assert "was seen in" not in said and "were seen in the other" in said


def test_of_three_areas_the_nearest_of_different_splits_are_named():
    said = sentence(a=[0, 0, 1, 1], b=[10, 0, 11, 1], c=[13, 0, 14, 1])
    assert "no place of `test` was seen in `train` or `val`" in said
    assert "`b` (val) and `c` (test)" in said
