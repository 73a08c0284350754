"""The stage `locate`: its choice of photos, its pictures, its answers."""

import json

import numpy as np
import pytest
from made_city import CENTRE, shoot
from PIL import Image

from witw import tables
from witw.cvig import locate
from witw.cvig.locate import BEST, MEDIAN, WORST
from witw.errors import UserError

SPEC = {"stage": "locate", "version": 1, "aoi": "made"}
PICTURES = {BEST: "best.png", MEDIAN: "heatmap.png", WORST: "worst.png"}


def rank_tables(folder, ranks, aoi="made", place=CENTRE):
    ids = [str(n + 1) for n in range(len(ranks))]
    rows = [
        dict.fromkeys(tables.PAIRS)
        | {"id": i, "aoi": aoi, "easting": place[0], "northing": place[1], "lon": 3.0, "lat": 45.0}
        | {"photo_path": f"{folder}/{i}.jpg", "credit": rf"5$ a \frac{{ for 6$ by {i}, CC BY"}
        for i in ids
    ]
    tables.write_geo(folder / "pairs.parquet", "pairs", rows)
    table = [
        {"id": i, "aoi": aoi, "rank": r, "gallery": len(ranks), "heading_deg": 0.0}
        for i, r in zip(ids, ranks, strict=True)
    ]
    tables.write(folder / "ranks.parquet", "ranks", table)
    return folder / "pairs.parquet", folder / "ranks.parquet"


@pytest.mark.parametrize(
    ("ranks", "chosen"),
    [
        ([5, 1, 3], "231"),
        ([4, 1, 9, 2], "243"),
        ([7], "111"),
        ([2, 2, 2], "123"),
        ([3, 8], "112"),
    ],
)
def test_the_photos_of_best_median_and_worst_rank_are_taken(tmp_path, ranks, chosen):
    queries = locate.choose(*rank_tables(tmp_path, ranks), "made")
    assert "".join(q.path.stem for q in queries) == chosen
    assert [q.kind for q in queries] == [BEST, MEDIAN, WORST]
    assert [q.rank for q in queries] == [ranks[int(i) - 1] for i in chosen]
    assert f"ranks {queries[1].rank} of {len(ranks)}: the median photo" in queries[1].note
    assert queries[0].credit.endswith(f"by {chosen[0]}, CC BY")


def test_an_area_without_ranks_is_named(tmp_path):
    with pytest.raises(UserError, match=r"Area 'other': .* holds no photo of it"):
        locate.choose(*rank_tables(tmp_path, [1, 2]), "other")


def command(trained, city, folder, out):
    pairs, ranks = folder / "pairs.parquet", folder / "ranks.parquet"
    argv = ["--spec", json.dumps(SPEC), "--model", str(trained / "model.pt")]
    argv += ["--cells", str(city / "cells.safetensors"), "--mosaic", str(city / "mosaic.tif")]
    argv += ["--pairs", str(pairs), "--ranks", str(ranks), "--answers", str(out / "answers")]
    for kind, name in PICTURES.items():
        argv += [f"--{kind}", str(out / name)]
    locate.main(argv)


@pytest.fixture(scope="module")
def located(trained, city, tmp_path_factory):
    folder = tmp_path_factory.mktemp("located")
    rank_tables(folder, [1, 4, 30])
    for n, heading in enumerate((100, 200, 300)):
        shoot(folder / f"{n + 1}.jpg", CENTRE, heading)
    command(trained, city, folder, folder / "out")
    return folder


def test_each_picture_shows_photo_and_map(located):
    for name in PICTURES.values():
        with Image.open(located / "out" / name) as picture:
            assert picture.width > 1200
            pixels = np.asarray(picture.convert("RGB"), int)
        # The marks of geotag and best cell are on the map in the right half.
        for colour in ((0x4A, 0xDE, 0x80), (0x22, 0xD3, 0xEE)):
            hits = np.argwhere(np.abs(pixels - colour).max(axis=2) < 12)
            assert (hits[:, 1] > pixels.shape[1] * 0.4).sum() > 20


def test_each_photo_has_its_files_and_all_are_on_one_page(located):
    answers = located / "out/answers"
    folders = sorted(path.name for path in answers.iterdir() if path.is_dir())
    assert folders == ["best_1", "median_2", "worst_3"]
    for name in folders:
        assert (answers / name / "probability.tif").is_file()
        assert json.loads((answers / name / "places.geojson").read_text())["features"]
    page = (answers / "answer.html").read_text()
    assert "ranks 4 of 3: the median photo" in page
    assert "by 3, CC BY" in page


def test_the_same_inputs_give_the_same_bytes(located, trained, city, tmp_path):
    command(trained, city, located, tmp_path)
    first = [p for p in (located / "out").rglob("*") if p.is_file()]
    assert len(first) > 12
    for path in first:
        again = tmp_path / path.relative_to(located / "out")
        assert again.read_bytes() == path.read_bytes(), path.name


def test_a_missing_or_broken_photo_is_reported(located, trained, city, tmp_path):
    rank_tables(tmp_path, [1])
    with pytest.raises(UserError, match=r"cannot be read: No such file"):
        command(trained, city, tmp_path, tmp_path / "out")
    (tmp_path / "1.jpg").write_bytes(b"no")
    with pytest.raises(UserError, match=r"1\.jpg is not a readable photo"):
        command(trained, city, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out/answers").exists()
