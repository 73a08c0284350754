import json

import numpy as np
import pandas as pd
import pytest
import torch
from made_index import shot_with_heading, write_index
from made_pairs import write_pack
from PIL import Image
from pyproj import Proj

from witw import files, tables
from witw.cvig import evaluate, retrieval
from witw.cvig.network.model import Model
from witw.cvig.scoring.assurance import Assurance
from witw.dataset.packed import Packed
from witw.errors import UserError

SPEC = {"stage": "evaluate", "version": 1, "evaluate": {"queries": 2000}}


@pytest.fixture(scope="session")
def indexed(trained, tmp_path_factory):
    """Return indexes of the validation and test areas, and pairs whose photos have headings."""
    folder = tmp_path_factory.mktemp("indexed")
    known = np.load(trained / "headings.npy")
    table = Packed.open(trained / "test").table
    lon, lat = Proj(32631)(table["easting"], table["northing"], inverse=True)
    turn = Proj(32631).get_factors(lon, lat).meridian_convergence
    rows = table.assign(photo_path="", lon=lon, lat=lat, epsg=32631)
    for n, row in rows.iterrows():
        if n % 3:  # the others tell nothing
            rows.loc[n, "photo_path"] = str(folder / f"{row['id']}.jpg")
            shot_with_heading(folder / f"{row['id']}.jpg", (known[n] + turn[n]) % 360)
    for aoi, part in rows.groupby("aoi"):
        full = part.reindex(columns=list(tables.PAIRS))
        tables.write_geo(folder / f"{aoi}.parquet", "pairs", full)
    return folder


def cells_of(model, trained, folder):
    return {
        **write_index(folder, model, trained / "val"),
        **write_index(folder, model, trained / "test"),
    }


def score(model, trained, indexed, out):
    cells = cells_of(model, trained, out / "index")
    paths = out / "metrics.json", out / "ranks.parquet", out / "recall.png"
    pairs = [indexed / "y.parquet", indexed / "z.parquet"]
    splits = trained / "val", trained / "test"
    values = evaluate.run(SPEC, model, *splits, cells, pairs, *paths, train_dir=trained / "train")
    return values, *paths


@pytest.fixture(scope="module")
def scored(trained, indexed, tmp_path_factory):
    return score(trained / "model.pt", trained, indexed, tmp_path_factory.mktemp("scored"))


def test_the_model_beats_chance_by_far_on_unseen_areas(scored, trained):
    values, metrics, ranks, plot = scored
    assert values == files.read_json(metrics)
    chips = values["protocols"]["chips"]
    assert chips["n"] == 90
    assert chips["recall_at_10"] > 3 * chips["chance"]["recall_at_10"]
    assert chips["interval"]["recall_at_10"][0] > chips["chance"]["recall_at_10"]
    assert chips["median_percentile"] < 8
    assert {name: area["n"] for name, area in chips["areas"].items()} == {"y": 30, "z": 60}
    assert chips["chance"]["recall_at_1"] == pytest.approx(100 * (1 + 1) / 90, abs=1e-3)
    table = tables.read(ranks, "ranks")
    assert table["gallery"].value_counts().to_dict() == {60: 60, 30: 30}
    assert 100 * (table["rank"] <= 5).mean() == pytest.approx(chips["recall_at_5"], abs=1e-3)
    error = table["heading_deg"].to_numpy(float) - np.load(trained / "headings.npy")
    assert np.median(np.abs((error + 180) % 360 - 180)) < 12
    with Image.open(plot) as picture:
        assert picture.width >= 600


def test_cells_at_the_photos_give_the_ranks_of_the_chips(scored):
    """The made grid has one cell a photo, 500 m apart: being within 25 m is having the chip."""
    protocols = scored[0]["protocols"]
    grid, chips = protocols["grid"], protocols["chips"]
    for k in (1, 5, 10):
        for name in ("y", "z"):
            found = grid["areas"][name][f"recall_at_{k}_within_25m"]
            # Codes of an index are halves: a rank or two may change.
            assert found == pytest.approx(chips["areas"][name][f"recall_at_{k}"], abs=4)
    assert grid["chance"]["recall_at_1_within_25m"] == pytest.approx(100 * 2 / 90, abs=1e-3)
    assert grid["median_area_pct"] < grid["chance"]["median_area_pct"] / 3
    assert grid["curve"]["recall"] == sorted(grid["curve"]["recall"])
    assert grid["curve"]["recall"][-1] == 100
    # No two photos within 25 m of each other: thinning leaves all.
    assert protocols["thinned"] == chips


def test_windows_are_searched_for_single_and_grouped_photos(scored):
    told = scored[0]["protocols"]
    assert told["window"]["n"] == 90
    assert told["window"]["photos"] == 1
    # No two of the made photos lie in one square, and a cell every 500 m leaves one to a window.
    assert told["window"] == told["window_several"]
    assert told["window"]["p90_error_m"] == told["window"]["chance"]["p90_error_m"] == 0
    assert told["window"]["heading"]["n"] == 60
    assert told["window"]["heading"]["median_error_deg"] < 12
    assert scored[0]["queries"] == {
        "most": 2000,
        "square_m": 25.0,
        "areas": {"y": {"photos": 30, "asked": 30}, "z": {"photos": 60, "asked": 60}},
    }


def test_headings_are_scored_if_exif_data_contain_them(scored):
    heading = scored[0]["heading"]
    assert heading["n"] == 60
    assert heading["median_error_deg"] < 12
    assert heading["within_30deg"] > 4 * heading["chance"]["within_30deg"]
    assert sum(heading["histogram"]["photos"]) == 60


def test_the_calibration_uses_the_validation_area(scored):
    told = scored[0]["calibration"]
    assert told["fitted_on"] == ["c"]
    assert told["val"]["n"] == 60
    assert told["test"]["n"] == 90
    assert told["val"]["bits"] > 1
    assert told["test"]["bits"] > 1
    assert told["test"]["interval"]["bits"][0] > 0


def test_the_reliability_of_an_answer_is_counted_on_the_test_areas(scored):
    values = scored[0]
    here = values["presence"]
    assert here["fitted_on"] == ["c"]
    # Photos of the made pairs lie 500 m apart along one line: of the training, those beyond 20 km
    # are strangers to the validation area.
    assert here["test"]["own"] == 90
    assert here["test"]["strangers"] > 30
    assert here["auroc"] > 0.7
    assert here["test"]["auroc"] > 0.7
    counted = values["reliability"]["all"]
    assert counted["n"] == 90
    assert counted["first"] == pytest.approx(
        values["protocols"]["grid"]["recall_at_1_within_100m"], abs=0.1
    )
    for level in (50, 80, 95):
        assert counted[f"held_{level}"] == pytest.approx(
            values["calibration"]["test"][f"coverage_{level}"], abs=2
        )
    assurance = Assurance.read(values)
    assert assurance.presence.auroc == here["auroc"]
    assert assurance.usual.limit > 1
    assert assurance.told["reliability"] == values["reliability"]


def test_the_same_inputs_give_the_same_bytes(scored, trained, indexed, tmp_path):
    _, *again = score(trained / "model.pt", trained, indexed, tmp_path)
    assert [p.read_bytes() for p in scored[1:]] == [p.read_bytes() for p in again]


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_a_constant_embedding_is_not_above_chance(trained, indexed, tmp_path, bias):
    model = Model.load(trained / "model.pt", torch.device("cpu"))
    for tower in (model.network.photo, model.network.overhead):
        last = [m for m in tower.modules() if isinstance(m, torch.nn.Conv2d)][-1]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.constant_(last.bias, bias)
        torch.nn.init.zeros_(tower.vector_head.values.weight)
        torch.nn.init.constant_(tower.vector_head.values.bias, bias)
    model.save(tmp_path / "constant.pt")
    values = score(tmp_path / "constant.pt", trained, indexed, tmp_path)[0]
    for told in values["protocols"].values():
        for name, guess in told["chance"].items():
            if name.startswith("recall") or name == "area_auc":
                assert told[name] <= guess
            else:
                assert told[name] >= guess
    assert values["calibration"]["test"]["bits"] <= 0.05
    assert values["heading"]["within_30deg"] < 45


def test_scoring_in_blocks_changes_nothing(trained, monkeypatch):
    model = Model.load(trained / "model.pt", torch.device("cpu"))
    test = Packed.open(trained / "test")
    codes = retrieval.encode(model.network, test, torch.device("cpu"))
    whole = retrieval.find(codes, test.areas, model.blend)
    monkeypatch.setattr(retrieval, "PHOTOS", 7)
    monkeypatch.setattr(retrieval, "CELLS", 11)
    blocks = retrieval.find(codes, test.areas, model.blend)
    assert np.array_equal(whole.rank, blocks.rank)
    np.testing.assert_allclose(whole.heading_deg, blocks.heading_deg, atol=0.01)


def test_a_file_that_is_not_a_model_is_reported(trained, tmp_path):
    outputs = [tmp_path / name for name in ("m.json", "r.parquet", "p.png")]
    for content, said in (
        (b"no", r"model\.pt is not a model of witw: it is not a safetensors file"),
        (None, "is a torch pickle; give a safetensors file that witw wrote"),
    ):
        if content is None:
            torch.save({"weights": {}}, tmp_path / "model.pt")
        else:
            (tmp_path / "model.pt").write_bytes(content)
        with pytest.raises(UserError, match=said):
            evaluate.run(
                SPEC, tmp_path / "model.pt", trained / "val", trained / "test", {}, [], *outputs
            )


def test_a_missing_or_foreign_index_is_reported(trained, tmp_path):
    outputs = [tmp_path / name for name in ("m.json", "r.parquet", "p.png")]
    inputs = trained / "model.pt", trained / "val", trained / "test"
    with pytest.raises(UserError, match=r"Area 'c' has no index"):
        evaluate.run(SPEC, *inputs, {}, [], *outputs)
    cells = cells_of(trained / "model.pt", trained, tmp_path)
    write_pack(tmp_path / "other", 6, 9, aois=("c",))
    other = Model.load(trained / "model.pt", torch.device("cpu"))
    with torch.no_grad():
        other.network.log_scale += 1e-3
    other.save(tmp_path / "other.pt")
    cells |= write_index(tmp_path / "index", tmp_path / "other.pt", tmp_path / "other")
    with pytest.raises(UserError, match=r"c\.safetensors is of another model than this one"):
        evaluate.run(SPEC, *inputs, cells, [], *outputs)
    assert not outputs[0].exists()


def test_without_a_known_heading_none_is_scored(trained, indexed, tmp_path):
    cells = cells_of(trained / "model.pt", trained, tmp_path)
    outputs = [tmp_path / name for name in ("m.json", "r.parquet", "p.png")]
    inputs = trained / "model.pt", trained / "val", trained / "test"
    assert evaluate.run(SPEC, *inputs, cells, [], *outputs)["heading"] == {"n": 0}
    pairs = pd.read_parquet(indexed / "y.parquet").assign(photo_path="gone.jpg")
    tables.write_geo(tmp_path / "y.parquet", "pairs", pairs)
    values = evaluate.run(SPEC, *inputs, cells, [tmp_path / "y.parquet"], *outputs)
    assert values["heading"] == {"n": 0}


def test_a_photo_that_two_test_areas_list_is_scored_once(trained, indexed, scored, tmp_path):
    """It is packed in the first of them; the second's table of pairs has a row of it, too."""
    pairs = [pd.read_parquet(indexed / f"{aoi}.parquet") for aoi in "yz"]
    pairs[1] = pd.concat([pairs[1], pairs[0].assign(aoi="z", photo_path="gone.jpg")])
    paths = []
    for aoi, rows in zip("yz", pairs, strict=True):
        paths.append(tmp_path / f"{aoi}.parquet")
        tables.write_geo(paths[-1], "pairs", rows)
    cells = cells_of(trained / "model.pt", trained, tmp_path)
    outputs = [tmp_path / name for name in ("m.json", "r.parquet", "p.png")]
    inputs = trained / "model.pt", trained / "val", trained / "test"
    assert evaluate.run(SPEC, *inputs, cells, paths, *outputs)["heading"] == scored[0]["heading"]


def test_the_command_line_runs_the_stage(trained, indexed, tmp_path):
    write_pack(tmp_path / "test", 12, 4, aois=("y",))
    cells = write_index(tmp_path / "index", trained / "model.pt", tmp_path / "test")
    cells |= write_index(tmp_path / "index", trained / "model.pt", trained / "val")
    argv = ["--spec", json.dumps(SPEC), "--threads", "1"]
    options = {"test": "test", "metrics": "e/m.json", "ranks": "e/r.parquet", "plot": "e/p.png"}
    for name, value in options.items():
        argv += [f"--{name}", str(tmp_path / value)]
    argv += ["--model", str(trained / "model.pt"), "--val", str(trained / "val")]
    argv += ["--cells", *map(str, cells.values())]
    evaluate.main([*argv, "--pairs", str(indexed / "y.parquet")])
    assert json.loads((tmp_path / "e/m.json").read_text())["protocols"]["chips"]["n"] == 12
