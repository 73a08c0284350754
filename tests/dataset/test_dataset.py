"""The data set: the funnel adds up, licences are counted, card and Croissant match the files."""

import errno
import io
import json
import os
import shutil

import pandas as pd
import pytest

from tests.dataset.made_dataset import AREAS, FILES, NAMES, SPEC, build
from witw import tables
from witw.dataset import dataset
from witw.dataset.card import cell
from witw.dataset.credit import license_class, shown, spdx
from witw.dataset.funnel import COLUMNS, funnel
from witw.dataset.notices import FLICKR_NOTICE
from witw.errors import UserError


def test_the_funnel_equals_a_count_by_hand(inputs, tmp_path):
    out = build(inputs, tmp_path / "d")
    expected = """aoi,city,split,listed,no_position,gone,failed,corrupt,changed,grey,\
indoor,off_imagery,blank,excluded,license,date,inaccurate,edge,close,owner,limit,shared,paired
empty,Nowhere,val,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0
paris,Paris,test,5,0,1,0,0,0,0,1,0,1,0,0,0,0,0,0,0,0,0,2
rio,Rio | de <b>Janeiro,train,5,0,0,1,1,0,1,0,1,0,0,0,0,0,0,0,0,0,0,1
total,,,10,0,1,1,1,0,1,1,1,1,0,0,0,0,0,0,0,0,0,3
"""
    assert (out / "funnel.csv").read_text() == expected
    table = pd.read_csv(io.StringIO(expected))
    assert (table[COLUMNS[4:]].sum(axis=1) == table["listed"]).all()


def test_an_unknown_status_is_reported(inputs):
    data = pd.concat([tables.read(path, "pairs") for path in inputs], ignore_index=True)
    data.loc[0, "status"] = "lost"
    with pytest.raises(UserError, match="status 'lost'"):
        funnel(data, AREAS)
    data.loc[0, "status"] = pd.NA
    with pytest.raises(UserError, match="photo 100 has the status"):
        funnel(data, AREAS)


def test_an_area_outside_the_config_is_reported(inputs):
    data = pd.concat([tables.read(path, "pairs") for path in inputs], ignore_index=True)
    with pytest.raises(UserError, match="'rio'"):
        funnel(data, {"paris": AREAS["paris"], "empty": AREAS["empty"]})


def test_licences_are_counted(inputs, tmp_path):
    out = build(inputs, tmp_path / "d")
    assert (out / "licenses.csv").read_text() == (
        "license_id,license,license_url,spdx,class,listed,paired\n"
        "4,CC BY 2.0,https://by.example/,CC-BY-2.0,any use,6,2\n"
        "5,CC BY-SA 2.0,https://by-sa.example/,CC-BY-SA-2.0,"
        "changed versions under the same licence,4,1\n"
    )


def test_a_photo_of_two_areas_has_a_row_in_each(inputs, tmp_path):
    out = build(inputs, tmp_path / "d")
    got = tables.read(out / "pairs.parquet", "pairs")
    assert list(got["aoi"]) == ["paris"] * 5 + ["rio"] * 5
    assert list(got["id"]) == [str(100 + n) for n in range(5)] * 2


def test_the_order_of_inputs_does_not_matter(inputs, tmp_path):
    one = build(inputs, tmp_path / "1")
    two = build(inputs[::-1], tmp_path / "2")
    for name in FILES:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_the_card_states_counts_licences_and_sizes(inputs, tmp_path):
    text = (build(inputs, tmp_path / "d") / "README.md").read_text()
    for phrase in (
        FLICKR_NOTICE,
        "**3 pairs** out of 10 photos listed",
        "2026-11-01T00:00:00Z",
        "CC BY-SA 4.0: paris, rio",
        "not stated in the config: empty",
        "| total |  |  | 10 | 1 |",
        "750 px at 0.3 m",
        "photos of 2 people, taken 2010 to 2011",
    ):
        assert phrase in text, phrase
    for name, column in tables.PAIRS.items():
        assert f"| `{name}` |" in text
        assert column.meaning in text
    assert "<b>" not in text
    widths = {
        len(line.replace("\\|", "").split("|")) for line in text.splitlines() if "| rio |" in line
    }
    assert widths == {9, 14}


def test_the_card_counts_people_of_several_splits_by_the_pairs_alone(inputs, tmp_path):
    text = (build(inputs, tmp_path / "d") / "README.md").read_text()
    # Paired are paris 100 (by 0@N0), paris 101 (by 1@N0) and rio 100 (by 0@N0), photo 100 twice.
    assert "1 of 2 people have photos in more than one split; 1 of 2 test photos are by" in text
    assert "1 of 2 photos are listed in more than one split" in text


def test_the_card_names_synthetic_cities(inputs, tmp_path, monkeypatch):
    assert "Synthetic" not in (build(inputs, tmp_path / "real") / "README.md").read_text()
    monkeypatch.setitem(AREAS, "paris", AREAS["paris"] | {"satellite": tables.MADE})
    text = (build(inputs, tmp_path / "made") / "README.md").read_text()
    assert "**Synthetic:** Paris. A program generated" in text


def test_cells_from_outside_are_not_markup():
    assert cell("a|b\nc<script>[x](y)") == "a\\|b c&lt;script>\\[x](y)"
    assert cell(1234567) == "1,234,567"
    assert cell(None) == ""


def test_command_line(inputs, tmp_path):
    args = ["--spec", json.dumps(SPEC), "--inputs", *map(str, inputs)]
    options = ["pairs", "funnel", "licenses", "credits", "card", "croissant", "ids"]
    options += ["provenance", "example", "photos", "chips"]
    (tmp_path / "net.pth").write_bytes(b"weights")
    args += ["--weights", str(tmp_path / "net.pth")]
    for option, name in zip(options, NAMES, strict=True):
        args += [f"--{option}", str(tmp_path / "cli" / name)]
    dataset.main(args)
    assert sorted(path.name for path in (tmp_path / "cli").iterdir()) == sorted(NAMES)


def test_the_folder_is_complete_without_the_run_folder(pictures):
    out = build([pictures / "paris.parquet"], pictures / "results" / "dataset")
    elsewhere = pictures / "elsewhere"
    shutil.copytree(out, elsewhere)
    shutil.rmtree(pictures / "photos")
    shutil.rmtree(pictures / "results")
    got = tables.read(elsewhere / "pairs.parquet", "pairs").set_index("id")
    for photo_id in ("100", "102"):
        photo, chip = got.loc[photo_id, ["photo_path", "chip_path"]]
        here = f"photos/paris/{photo_id[-2:]}/{photo_id}.jpg"
        assert (elsewhere / photo).read_bytes() == here.encode()
        assert (elsewhere / chip).read_bytes().startswith(b"results/paris/chips/0001/")
    assert got.loc["101", ["photo_path", "chip_path"]].isna().all()
    assert len(list(elsewhere.glob("*/*/*/*.jpg"))) == 4


def test_pictures_are_links_if_the_file_system_supports_them(pictures, monkeypatch):
    out = build([pictures / "paris.parquet"], pictures / "results" / "dataset")
    store = pictures / "photos/paris/00/100.jpg"
    assert (out / "photos/paris/00/100.jpg").samefile(store)

    def refuse(*_):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    build([pictures / "paris.parquet"], out)
    copy = out / "photos/paris/00/100.jpg"
    assert not copy.samefile(store)
    assert copy.read_bytes() == store.read_bytes()


def test_a_missing_picture_is_reported_and_no_partial_folder_is_left(pictures):
    (pictures / "results/paris/chips/0001/102.jpg").unlink()
    with pytest.raises(UserError, match=r"chips/0001/102\.jpg is missing"):
        build([pictures / "paris.parquet"], pictures / "results" / "dataset")
    assert not (pictures / "results/dataset/chips").exists()
    assert not (pictures / "results/dataset/pairs.parquet").exists()


def test_photos_in_several_splits_can_be_left_out(inputs, tmp_path, monkeypatch):
    """Paired: paris (test) 100 by 0@N0 and 101 by 1@N0, rio (train) 100 by 0@N0."""
    monkeypatch.setitem(SPEC, "dataset", {"shared": "photos"})
    out = build(inputs, tmp_path / "d")
    got = tables.read(out / "pairs.parquet", "pairs")
    assert got.loc[got["status"] == "shared", ["aoi", "id"]].to_numpy().tolist() == [["rio", "100"]]
    counts = pd.read_csv(out / "funnel.csv").set_index("aoi")
    assert counts.loc["rio", ["shared", "paired"]].tolist() == [1, 0]
    assert (counts[COLUMNS[4:]].sum(axis=1) == counts["listed"]).all()
    text = (out / "README.md").read_text()
    assert "0 of 2 people have photos in more than one split" in text
    assert "no photo is in more than one split" in text
    assert "shared |" in text


def test_the_card_gives_a_contact(inputs, tmp_path, monkeypatch):
    monkeypatch.setitem(SPEC, "dataset", {"contact": "ann@example.org"})
    assert "write to ann@example.org" in (build(inputs, tmp_path / "d") / "README.md").read_text()


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ('=HYPERLINK("http://x.example","photo")', '\'=HYPERLINK("http://x.example","photo")'),
        ("@SUM(A1:A9)", "'@SUM(A1:A9)"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("+A!B1", "'+A!B1"),
        ("@jane", "@jane"),
        ("- dusk -", "- dusk -"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_a_spreadsheet_computes_no_name(text, cell):
    assert shown(text) == cell


def test_credits_name_author_title_and_licence_of_every_pair(inputs, tmp_path):
    got = pd.read_csv(build(inputs, tmp_path / "d") / "CREDITS.csv", dtype=str)
    assert got[["id", "aoi", "author", "license"]].to_numpy().tolist() == [
        ["100", "paris", "0@N0", "CC-BY-2.0"],
        ["101", "paris", "1@N0", "CC-BY-SA-2.0"],
        ["100", "rio", "0@N0", "CC-BY-2.0"],
    ]


@pytest.mark.parametrize(
    ("name", "url", "identifier", "told"),
    [
        ("Attribution-NonCommercial-NoDerivs License",
         "https://creativecommons.org/licenses/by-nc-nd/2.0/", "CC-BY-NC-ND-2.0",
         "no commercial use, no changed versions"),
        ("", "https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", "any use"),
        ("Public Domain Mark", "https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0",
         "any use"),
        ("All rights (c) Ann", "", "LicenseRef-All-rights-c-Ann", "?"),
        ("", "", "LicenseRef-unknown", "?"),
    ],
)  # fmt: skip
def test_licences_have_an_identifier_and_a_class(name, url, identifier, told):
    assert spdx(name, url) == identifier
    assert license_class(name, url) == told
