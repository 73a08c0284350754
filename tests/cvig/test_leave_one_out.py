import json

import numpy as np
import pandas as pd
import pytest

from witw import tables
from witw.cvig import leave_one_out, resplit
from witw.cvig.folds import folds, splits
from witw.errors import UserError

CITIES = {"paris": "Paris", "rio_2": "Rio", "rio_1": "Rio", "oslo": "Oslo", "bern": "Bern"}
AREAS = {name: {"city": city} for name, city in CITIES.items()}


def test_every_city_is_left_out_once_and_validates_once():
    made = folds(CITIES)
    assert sorted(aoi for fold in made.values() for aoi in fold.test) == sorted(CITIES)
    assert sorted(aoi for fold in made.values() for aoi in fold.val) == sorted(CITIES)
    assert made["rio_1"].test == ("rio_1", "rio_2")
    for fold in made.values():
        assert not set(fold.test) & set(fold.val)


def test_folds_do_not_depend_on_the_order_of_the_config():
    assert folds(dict(reversed(CITIES.items()))) == folds(CITIES)


def test_no_city_is_in_two_splits():
    for name in folds(CITIES):
        chosen = splits(CITIES, name)
        cities = {s: {CITIES[a] for a, of in chosen.items() if of == s} for s in chosen.values()}
        assert set(cities) == {"train", "val", "test"}
        assert sum(map(len, cities.values())) == 4


def test_two_cities_have_no_folds():
    assert folds({"a": "A", "b": "B", "b_2": "B"}) == {}


def placed(step):
    """Place the areas side by side, each 0.1 degrees wide and `step` east of the previous one."""
    boxes = {name: [step * n, 1.0, step * n + 0.1, 1.1] for n, name in enumerate(AREAS)}
    return {name: area | {"bbox_deg": boxes[name]} for name, area in AREAS.items()}


RESPLIT = {"stage": "resplit", "version": 2, "areas": placed(1.0), "dataset": {"shared": "keep"}}


def test_areas_of_other_splits_that_share_ground_are_refused(tmp_path):
    """Overlapping boxes are harmless within one split, but a fold must not separate them."""
    tables.write_geo(tmp_path / "pairs.parquet", "pairs", [])
    paths = tmp_path / "pairs.parquet", tmp_path / "out.parquet"
    resplit.run(RESPLIT, "rio_1", *paths)
    with pytest.raises(UserError, match=r"Fold 'rio_1'.*overlap"):
        resplit.run(RESPLIT | {"areas": placed(0.05)}, "rio_1", *paths)


def test_photos_in_several_splits_are_settled_for_each_fold(tmp_path):
    """Photo 1 lies in two cities; the first of the data set's own splits keeps it."""
    rows = [
        dict.fromkeys(tables.PAIRS)
        | {"id": "1", "aoi": aoi, "split": "train", "lon": 3.0, "lat": 45.0, "status": status}
        for aoi, status in (("paris", "paired"), ("rio_1", "shared"))
    ]
    tables.write_geo(tmp_path / "pairs.parquet", "pairs", rows)
    spec = RESPLIT | {"dataset": {"shared": "photos"}}
    for fold, kept in (("rio_1", "rio_1"), ("paris", "paris")):
        resplit.run(spec, fold, tmp_path / "pairs.parquet", tmp_path / "out.parquet")
        found = tables.read(tmp_path / "out.parquet", "pairs").set_index("aoi")["status"]
        assert found[kept] == "paired"
        assert sorted(found) == ["paired", "shared"]


def test_resplitting_changes_only_the_split(tmp_path):
    rows = [
        dict.fromkeys(tables.PAIRS)
        | {"id": str(n), "aoi": aoi, "split": "train", "lon": 3.0, "lat": 45.0, "title": f"t{n}"}
        | {"photo_path": f"photos/{n}.jpg", "chip_path": f"chips/{n}.jpg", "status": "paired"}
        for n, aoi in enumerate(CITIES)
    ]
    before = tables.write_geo(tmp_path / "pairs.parquet", "pairs", rows)
    argv = ["--spec", json.dumps(RESPLIT)]
    argv += ["--fold", "rio_1", "--pairs", str(tmp_path / "pairs.parquet")]
    resplit.main([*argv, "--out", str(tmp_path / "loo/pairs.parquet")])
    after = tables.read(tmp_path / "loo/pairs.parquet", "pairs")
    assert dict(zip(after["aoi"], after["split"], strict=True)) == splits(CITIES, "rio_1")
    assert set(after.loc[after["split"] == "test", "aoi"]) == {"rio_1", "rio_2"}
    for name in ("photo_path", "chip_path"):
        # The same files, relative to the fold's folder.
        there = [(tmp_path / "loo" / path).resolve() for path in after[name]]
        assert there == [tmp_path / path for path in before[name]]
    columns = [c for c in tables.PAIRS if c not in ("split", "photo_path", "chip_path")]
    pd.testing.assert_frame_equal(after[columns], tables.frame("pairs", before)[columns])


def write_evaluation(folder, name, value, interval=True):
    told = {"chips": {}, "grid": {}}
    for protocol, figure in leave_one_out.COLUMNS.values():
        told[protocol][figure] = value
    for figures in told.values():
        names = list(figures)
        figures["chance"] = dict.fromkeys(names, 50.0)
        figures["interval"] = {n: [value - 1, value + 1] for n in names} if interval else {}
    told["chips"]["n"] = 10
    path = folder / name / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"protocols": told}))
    return path


def table_of(tmp_path, paths):
    argv = ["--spec", json.dumps({"stage": "leave_one_out", "version": 1, "areas": AREAS})]
    argv += ["--evaluations", *map(str, paths)]
    argv += ["--csv", str(tmp_path / "t.csv"), "--markdown", str(tmp_path / "t.md")]
    leave_one_out.main(argv)
    return pd.read_csv(tmp_path / "t.csv", index_col="city"), (tmp_path / "t.md").read_text()


def test_the_table_has_one_row_per_city_and_a_mean(tmp_path):
    paths = [write_evaluation(tmp_path, n, v) for n, v in (("paris", 10), ("bern", 16))]
    table, text = table_of(tmp_path, [*paths, write_evaluation(tmp_path, "oslo", 4, False)])
    assert list(table.index) == ["Bern", "Oslo", "Paris", "mean", "standard deviation"]
    assert table.loc["Paris", ["median_area_pct", "median_area_pct_low"]].tolist() == [10, 9]
    assert np.isnan(table.loc["Oslo", "recall_at_10_low"])
    assert table.loc["mean", "recall_at_10"] == 10
    assert table.loc["mean", "photos"] == 30
    assert table.loc["standard deviation", "recall_at_10"] == 6
    assert "| Paris | 10 | 10.0 (9.0 to 11.0), chance 50.0 |" in text
    assert "| Oslo | 10 | 4.0, chance 50.0 |" in text


def test_a_file_that_is_not_an_evaluation_is_reported(tmp_path):
    path = write_evaluation(tmp_path, "paris", 10)
    path.write_text('{"protocols": {}}')
    with pytest.raises(UserError, match=r"metrics\.json is not an evaluation"):
        table_of(tmp_path, [path])


def test_the_interval_of_the_mean_follows_from_the_cities_spread(tmp_path):
    """Twelve cities give Student's t with 11 degrees of freedom; three give no interval."""
    values = np.array([3, 9, 4, 12, 7, 7, 1, 10, 5, 8, 6, 2.0])
    areas = {f"c{n:02d}": {"city": f"City {n:02d}"} for n in range(12)}
    paths = [write_evaluation(tmp_path, n, v) for n, v in zip(areas, values, strict=True)]
    out = tmp_path / "t.csv", tmp_path / "t.md"
    leave_one_out.run({"areas": areas}, paths, *out)
    mean = pd.read_csv(out[0], index_col="city").loc["mean"]
    reach = 2.200985 * values.std(ddof=1) / np.sqrt(12)
    assert mean["recall_at_10_high"] == pytest.approx(values.mean() + reach, abs=2e-3)
    assert mean["recall_at_10_low"] == pytest.approx(values.mean() - reach, abs=2e-3)
    leave_one_out.run({"areas": areas}, paths[:3], *out)
    assert np.isnan(pd.read_csv(out[0], index_col="city").loc["mean", "recall_at_10_low"])
