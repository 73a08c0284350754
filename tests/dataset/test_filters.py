"""Filters of `pairs`, each compared with a value by hand or by brute force; the funnel adds up."""

import hashlib
import time
from datetime import date

import numpy as np
import pandas as pd
import pytest

from witw.dataset import filters
from witw.dataset.pairs import excluded
from witw.errors import UserError
from witw.settings.pairs import Pairs


def rows(count, **columns):
    base = {
        "id": [str(n) for n in range(count)],
        "status": "paired",
        "owner": "a",
        "license": "CC BY 4.0",
        "license_url": "",
        "date_taken": "2020-05-06 07:08:09",
        "accuracy": 16,
        "easting": np.arange(count) * 1000.0,
        "northing": 0.0,
    }
    table = pd.DataFrame(base | columns)
    return table.astype({"accuracy": "Int16", "status": "string", "owner": "string"})


def status(table, excluded=(), edge_m=None, **settings):
    return filters.status_of(table, Pairs(**settings), excluded, edge_m).tolist()


def sha1(text):
    return hashlib.sha1(text.encode()).hexdigest()


def brute(at, keys, least_m):
    """Select greedily in the order of the keys, comparing all with all."""
    kept = []
    for n in np.argsort(keys):
        if all(np.hypot(*(at[n] - at[k])) >= least_m for k in kept):
            kept.append(n)
    return sorted(kept)


def test_without_filters_nothing_changes():
    table = rows(4, status=["paired", "indoor", "gone", "paired"])
    assert status(table) == ["paired", "indoor", "gone", "paired"]


@pytest.mark.parametrize("seed", range(5))
def test_the_least_distance_equals_an_exhaustive_comparison(seed):
    rng = np.random.default_rng(seed)
    at = rng.uniform(0, 300, (400, 2)).round(rng.integers(0, 3))
    at[::7] = at[3]  # photos of one place
    table = rows(400, easting=at[:, 0] - 150, northing=at[:, 1] - 5e6)
    found = status(table, min_distance_m=10)
    kept = brute(at, [sha1(i) for i in table["id"]], 10)
    assert [n for n, s in enumerate(found) if s == "paired"] == kept
    assert set(found) == {"paired", "close"}
    left = table[np.array(found) == "paired"][["easting", "northing"]].to_numpy(float)
    apart = np.hypot(*(left[:, None] - left[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    assert apart.min() >= 10


def test_no_order_of_rows_changes_a_choice():
    rng = np.random.default_rng(1)
    table = rows(300, easting=rng.uniform(0, 200, 300), northing=rng.uniform(0, 200, 300))
    table["owner"] = [f"o{n % 9}" for n in range(300)]
    told = {"min_distance_m": 10, "max_per_owner": 5, "limit": 20}
    one = dict(zip(table["id"], status(table, **told), strict=True))
    mixed = table.sample(frac=1, random_state=2)
    assert dict(zip(mixed["id"], status(mixed, **told), strict=True)) == one
    assert set(one.values()) == {"paired", "close", "owner", "limit"}
    assert list(one.values()).count("paired") == 20


def test_an_unpaired_photo_displaces_no_pair():
    table = rows(2, easting=[0.0, 1.0], status=["indoor", "paired"])
    assert status(table, min_distance_m=10) == ["indoor", "paired"]


def test_a_million_pairs_take_seconds():
    rng = np.random.default_rng(0)
    at = rng.uniform(0, 30_000, (100_000, 2))
    keys = np.array([sha1(str(n)) for n in range(len(at))])
    began = time.process_time()
    filters.crowded(at, keys, 10)
    tenth = time.process_time() - began
    assert tenth < 5  # a tenth of a million; an exhaustive comparison would take an hour


def test_the_cap_takes_the_first_by_hash_and_spares_photos_without_an_owner():
    table = rows(10, owner=["a"] * 6 + [""] * 2 + [None] * 2)
    found = status(table, max_per_owner=2)
    first = sorted(range(6), key=lambda n: sha1(str(n)))[:2]
    assert [n for n in range(6) if found[n] == "paired"] == sorted(first)
    assert found[6:] == ["paired"] * 4


def test_the_limit_takes_the_first_by_hash_and_a_larger_one_adds_to_them():
    table = rows(50)
    few = {n for n, s in enumerate(status(table, limit=7)) if s == "paired"}
    assert few == set(sorted(range(50), key=lambda n: sha1(str(n)))[:7])
    assert few < {n for n, s in enumerate(status(table, limit=20)) if s == "paired"}


LICENCES = {
    "CC BY 4.0": (True, True, True),
    "Attribution-ShareAlike License": (True, True, False),
    "Attribution-NonCommercial License": (False, True, True),
    "Attribution-NoDerivs License": (True, False, True),
    "CC BY-NC-SA 2.0": (False, True, False),
    "CC0 1.0": (True, True, True),
    "Public Domain Mark": (True, True, True),
    "No known copyright restrictions": (True, True, True),
    "United States Government Work": (True, True, True),
    "All Rights Reserved": (False, False, False),
    "": (False, False, False),
}


def test_licences_are_filtered_by_their_permissions():
    table = rows(len(LICENCES), license=list(LICENCES))
    for column, told in enumerate(
        ({"commercial_use": True}, {"derivatives": True}, {"share_alike": False})
    ):
        fits = [fate == "paired" for fate in status(table, **told)]
        assert fits == [allowed[column] for allowed in LICENCES.values()], told


def test_days_are_inclusive_and_undated_photos_are_left_out():
    taken = ["2019-12-31 23:59:59", "2020-01-01 00:00:00", "2020-12-31 23:59:59", "2021-01-01", ""]
    table = rows(5, date_taken=taken)
    found = status(table, taken_from=date(2020, 1, 1), taken_until=date(2020, 12, 31))
    assert found == ["date", "paired", "paired", "date", "date"]
    assert status(table, taken_from="2020-01-01") == ["date", *["paired"] * 3, "date"]


def test_accuracy_and_edge_filter_photos():
    table = rows(3, accuracy=[16, 11, None])
    assert status(table, min_accuracy=12) == ["paired", "inaccurate", "paired"]
    edge_m = np.array([100.0, 99.9, np.nan])
    assert status(table, min_edge_m=100, edge_m=edge_m) == ["paired", "edge", "edge"]


def test_the_first_filter_that_applies_gives_the_status_and_all_add_up():
    table = rows(4, license=["", "", "CC0 1.0", "CC0 1.0"], easting=[0.0, 0.0, 1.0, 900.0])
    found = status(table, {"0"}, commercial_use=True, min_distance_m=10, limit=1)
    assert found[:2] == ["excluded", "license"]
    assert sorted(found[2:]) == ["limit", "paired"]


@pytest.mark.parametrize(
    "text", ["7\n8 its owner asked\n\n", 'id,why\n"7",x\n8,y\n', "why;id\nx;7\ny;8\n"]
)
def test_listed_photos_are_left_out(tmp_path, text):
    (tmp_path / "out.txt").write_text(text)
    assert excluded(str(tmp_path / "out.txt")) == {"7", "8"}
    assert excluded("") == set()
    # A table from a spreadsheet or pandas, with other columns before the ids.
    for text in (
        ',title,id\n0,"A, b ""c""",7\n1,my nice photo,8\n',
        'Title;ID\n"two\nlines; and more";7\nx y z;8 not this one\n',
        "title\tid\nmy photo\t7\n\t8\n",
        "id\n7\n8\n",
        "7\n8 a comment, with a comma\n\n",
    ):
        (tmp_path / "table.csv").write_text(text)
        assert excluded(str(tmp_path / "table.csv")) == {"7", "8"}, text
    with pytest.raises(UserError, match=r"`pairs.exclude`: .*none.txt cannot be read"):
        excluded(str(tmp_path / "none.txt"))
