"""The picture on the data card: one pair with readable files, the same for the same pairs."""

import numpy as np
import pytest
from PIL import Image

from witw import tables
from witw.dataset.card import card
from witw.dataset.funnel import funnel, licenses
from witw.dataset.layout.example import GAP, SIDE, draw

COLORS = {"photo": (200, 30, 30), "chip": (30, 30, 200)}
SIZES = {"photo": (400, 300), "chip": (100, 100)}
FREE = ("CC BY 2.0", "https://creativecommons.org/licenses/by/2.0/")
FIXED = ("CC BY-ND 2.0", "https://creativecommons.org/licenses/by-nd/2.0/")
AREA = {
    "city": "Bern", "split": "train", "bbox_deg": [7.4, 46.9, 7.5, 47.0], "satellite": "made up",
    "imagery_license": "CC0", "snapshot": "2026-11-01T00:00:00Z", "gsd_m": 0.3, "chip_px": 750,
}  # fmt: skip


def table(folder, ids, terms=FREE):
    rows = []
    for photo_id in ids:
        row = dict.fromkeys(tables.PAIRS) | {"id": photo_id, "aoi": "bern", "status": "paired"}
        row |= {"owner": "1@N00", "owner_name": "Ann [x](y) <b>", "satellite": "WorldView-3"}
        row |= {"license_id": 4, "license": terms[0], "license_url": terms[1]}
        row |= {"url": f"https://photos.example/{photo_id}", "split": "train", "lat": 46.95}
        row |= {"lon": 7.45, "city": "Bern", "title": "a title"}
        for kind, color in COLORS.items():
            path = folder / kind / f"{photo_id}.jpg"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", SIZES[kind], color).save(path, quality=95)
            row[f"{kind}_path"] = f"{kind}/{photo_id}.jpg"
        rows.append(row)
    return tables.frame("pairs", rows)


def close(pixel, color):
    return np.abs(np.asarray(pixel, int) - color).max() < 12


def test_photo_and_chip_stand_side_by_side_and_nothing_is_stretched(tmp_path):
    pairs = table(tmp_path, ["1", "2", "3"])
    shown = draw(tmp_path / "a.jpg", pairs, tmp_path)
    assert shown["id"] in {"1", "2", "3"}
    draw(tmp_path / "b.jpg", pairs.iloc[::-1], tmp_path)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    with Image.open(tmp_path / "a.jpg") as sheet:
        assert sheet.size == (2 * SIDE + GAP, SIDE)
        assert not sheet.getexif()
        pixels = np.asarray(sheet)
    # 400 x 300 fills 384 x 288, with white above and below.
    assert close(pixels[SIDE // 2, 5], COLORS["photo"])
    assert close(pixels[20, SIDE // 2], (255, 255, 255))
    assert close(pixels[5, SIDE + GAP + 5], COLORS["chip"])


def test_a_licence_that_allows_changes_goes_first_and_damaged_files_are_passed_over(tmp_path):
    fixed, free = table(tmp_path, list("abcdefgh"), FIXED), table(tmp_path, ["1", "2"])
    pairs = tables.frame("pairs", [*fixed.to_dict("records"), *free.to_dict("records")])
    first = draw(tmp_path / "a.jpg", pairs, tmp_path)["id"]
    assert first in {"1", "2"}
    (tmp_path / "photo" / f"{first}.jpg").write_bytes(b"no picture")
    assert draw(tmp_path / "a.jpg", pairs, tmp_path)["id"] == {"1": "2", "2": "1"}[first]


@pytest.mark.parametrize("ids", [[], ["1"]])
def test_the_card_shows_the_example_with_author_sizes_and_citation(tmp_path, ids):
    pairs = table(tmp_path, ids)
    shown = draw(tmp_path / "example.jpg", pairs, tmp_path)
    areas, sizes = {"bern": AREA}, {"photos": (1, 2_000_000_000), "chips": (1, 10_000_000)}
    text = card(pairs, funnel(pairs, areas), licenses(pairs), areas, "", shown, sizes)
    assert ("](example.jpg)" in text) == bool(ids)
    assert (tmp_path / "example.jpg").is_file()
    assert "Files: 1 photos (2.00 GB) and 1 chips (0.01 GB)." in text
    assert "year = {2026}, note = {version 2026.11.1}" in text
    if ids:
        author = "Photo: Ann \\[x](y) &lt;b>, CC-BY-2.0, https://photos.example/1."
        assert author in text
