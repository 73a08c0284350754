"""The report works without the network, its numbers are right, and outside text is not markup."""

import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from made_report import AREAS, BOX, EVIL, arguments, build, evaluation, pair_rows
from PIL import Image

import witw
from witw import files, tables
from witw.errors import UserError
from witw.report import maps, page, samples


class Page(HTMLParser):
    """Collects tags, their attributes and the visible text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_the_page_makes_no_request_and_runs_no_script(folder):
    text = build()
    tags = Page(text).tags
    assert {tag for tag, _ in tags}.isdisjoint({"script", "link", "iframe", "object", "form"})
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        if tag in ("img", "image"):
            assert attributes.get("src", attributes.get("href")).startswith("data:image/")
        if tag == "a":
            assert attributes["href"].startswith(("https://", "#"))
    assert "url(" not in text.replace("url(#", "")  # to its own parts
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_text_from_flickr_stays_text(folder):
    text = build()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "javascript:" not in text
    assert EVIL in Page(text).text


def test_the_page_states_the_numbers(folder):
    text = Page(build()).text
    assert "80 photos listed" in text
    assert "40 pairs of photo and imagery" in text
    assert "7.8 median percentile" in text
    assert "1.2 % of an unseen city must be searched" in text
    assert "(chance 6.7 %)" in text
    assert "Paris 40 2 2.00 x 1 1 complete" in text
    assert "Rio 40 2 2.00 x 1 1 nearly complete" in text
    # The table explains a complete list once; only another list has its reasons.
    assert text.count("Totals & photos agree.") == 1
    assert text.count("5 photos of earlier lists no longer exist.") == 2
    assert text.count("2 returned but not usable: no <geotag>.") == 2
    assert "not endorsed or certified by SmugMug, Inc." in text
    assert "CC BY-SA 4.0 (Paris, Rio)" in text


def test_figures_stand_beside_interval_and_chance(folder):
    text = Page(build()).text
    assert "Own chip ranked first 12.3 % 11.1 to 13.6 0.4 %" in text
    assert "Own chip among the best 10 45.6 % 41 to 50.2 4 %" in text
    assert "10 12.5 11.2 to 13.8; chance 1.5 15.0 13.5 to 16.5; chance 1.5" in text
    assert "Median error of the best cell 70 m 63 to 77 400 m" in text
    assert "Among the chips of the city: 250 photos" in text
    assert "one photo per square of 25 m: 222 photos" in text
    assert "from 10 squares on, the 95 % interval over squares of 500 m (here: 9 squares)" in text
    assert "Paris 150 6 chance 1.5 15 chance 1.5 1.23 chance 6.7" in text
    assert "Heading of the 55 photos whose camera recorded it" in text
    assert "Median error 21.5\u00b0 19.4 to 23.7 90\u00b0" in text
    assert "Temperature 0.0654 and a geotag error of 14.2 m, fitted on Rio." in text
    assert "Bits gained over the uniform map 2.25 2.02 to 2.48 2.25" in text


def test_figures_without_an_evaluation_are_left_out(folder):
    values = evaluation()
    values["heading"] = {"n": 0}
    del values["calibration"], values["protocols"]["grid"]
    values["protocols"]["chips"]["interval"] = {}  # one block
    files.write_json(Path("results/evaluation/metrics.json"), values)
    text = Page(build()).text
    assert "Own chip ranked first 12.3 % 0.4 %" in text
    for absent in ("Heading and", "On a grid", "City by city", "must be searched", "None"):
        assert absent not in text


def test_at_most_as_many_photos_are_shown_as_the_terms_allow(folder):
    tags = Page(build()).tags
    pairs = [a for tag, a in tags if tag == "figure" and a.get("class") == "pair"]
    heat = [a for tag, a in tags if tag == "figure" and a.get("class") == "heat"]
    assert len(pairs) == page.SHOWN
    near = [a for tag, a in tags if tag == "figure" and a.get("class") == "pair one"]
    assert len(near) == 8
    assert len(pairs) + len(heat) + len(near) <= samples.MAX_PHOTOS


def test_every_pair_shown_has_owner_licence_and_link(folder):
    text = build()
    for block in text.split('<figure class="pair">')[1:]:
        block = block.split("</figure>")[0]
        assert "https://www.flickr.com/photos/1/" in block
        assert "CC BY 2.0" in block
        assert "Ann" in block or "&lt;script" in block


def test_samples_are_even_over_the_areas_and_always_the_same():
    data = tables.frame("pairs", [*pair_rows("paris"), *pair_rows("rio")[:5]])
    chosen = samples.choose(data, 20)
    assert dict(chosen["aoi"].value_counts()) == {"paris": 15, "rio": 5}
    shuffled = data.sample(frac=1, random_state=1)
    assert list(samples.choose(shuffled, 20)["id"]) == list(chosen["id"])
    assert set(chosen["status"]) == {"paired"}


def test_a_photo_gone_from_the_store_is_left_out(folder):
    for path in Path("photos").rglob("*.jpg"):
        path.unlink()
    text = build()
    assert 'class="pair"' not in text
    assert "40 pairs" in Page(text).text


def test_untrained_and_empty_runs_have_a_page(folder):
    text = Page(build(trained=False)).text
    assert "Training" not in text
    assert "80 photos listed" in text
    for aoi in AREAS:
        tables.write_geo(Path(f"results/{aoi}/pairs.parquet"), "pairs", [])
        tables.write(Path(f"results/{aoi}/cells.parquet"), "cells", [])
    assert "0 photos listed" in Page(build(trained=False)).text


def test_every_picture_has_a_name_and_every_table_can_be_scrolled_by_keyboard(folder):
    """The same rules as a browser's audit (test_browser.py), checked without a browser."""
    tags = Page(build()).tags
    pictures = [a for tag, a in tags if tag in ("svg", "img")]
    names = [a.get("aria-label") if a.get("role") == "img" else a.get("alt") for a in pictures]
    # Maps, charts, heat map, pairs, photos near the threshold.
    assert len(names) == 2 + 5 + 1 + 2 * page.SHOWN + 8
    assert all(names)
    assert (
        "Map of the 40 photos listed in Paris: 1 gone, 1 failed, 1 corrupt, 1 grey, 15 indoor, "
        "1 off imagery, 20 paired"
    ) in names
    assert "Training loss: 5 at epoch 1, 0.625 at epoch 8" in names
    scrolled = [a for _, a in tags if "scroll" in a.get("class", "").split()]
    assert len(scrolled) == len([tag for tag, _ in tags if tag == "table"]) == 12
    assert {(a["tabindex"], a["role"]) for a in scrolled} == {("0", "region")}
    assert len({a["aria-label"] for a in scrolled}) == 12


def test_made_cities_are_called_synthetic(folder):
    """The config marks them with `satellite: made`."""
    text = Page(build()).text
    assert "A program generated" not in text
    assert 'class="made"' not in Path("results/report/report.html").read_text(encoding="utf-8")
    half = {**AREAS, "rio": {**AREAS["rio"], "satellite": "made"}}
    assert "Synthetic, not real: Rio. A program generated" in Page(build(areas=half)).text
    text = Page(build(areas={k: {**v, "satellite": "made"} for k, v in AREAS.items()})).text
    assert "Every city on this page is synthetic. A program generated" in text
    assert "They do not describe a real place" in text


def test_same_inputs_same_bytes(folder):
    assert build() == build()


def test_training_lines_may_lack_keys_or_hold_nan():
    drawn = page.training_charts([{"epoch": 1, "loss": 2.0}, {"loss": float("nan")}, {"x": 1}])
    assert len(drawn) == 1
    assert "Training loss" in drawn[0]
    assert page.training_charts([]) == []


def test_a_damaged_training_file_is_reported(folder):
    Path("results/model/metrics.jsonl").write_text('{"epoch": 1')
    with pytest.raises(UserError, match=r"metrics\.jsonl"):
        build()


def test_dots_of_the_map_lie_where_the_photos_are():
    rows = pd.DataFrame(
        {"lon": [2.05, 2.15], "lat": [48.075, 48.025], "status": ["paired", "gone"]}
    )
    picture = Image.open(io.BytesIO(maps._dots(rows, BOX, 200, 100))).convert("RGB")
    for (x, y), status in zip([(50, 25), (150, 75)], rows["status"], strict=True):
        color = tuple(int(maps.COLORS[status][k : k + 2], 16) for k in (1, 3, 5))
        assert picture.getpixel((x, y)) == color
    assert picture.getpixel((100, 50)) == (248, 248, 248)


def test_the_report_runs_as_a_module(folder):
    command = [sys.executable, "-m", "witw.report", *arguments()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path("results/report/report.html").exists()


def test_the_contents_lead_to_every_section(folder):
    page = build()
    sections = re.findall(r'<section id="(\w+)"', page)
    linked = re.findall(r'<li><a href="#(\w+)"', page)
    assert linked == sections
    assert {"fates", "map", "filters", "found", "sure", "photo", "training", "pairs"} < set(linked)
    assert not re.findall(r"<section(?! id)", page)


def test_photos_near_the_threshold_are_shown_with_their_vote(folder):
    page = build()
    near = page.split("Nearest to the threshold")[1].split("</section>")[0]
    assert near.count("<img") == 8
    assert near.count("indoor, 4 of 10 scenes are outdoor") == 2 * 4
    assert near.count("outdoor, 5 of 10 scenes are outdoor") == 2 * 4


def test_the_page_identifies_its_config_and_data(folder):
    def origin(page):
        return re.search(r"witw ([\d.]+); config of the areas (\w{12}); data (\w{12})", page)

    first = origin(build())
    assert first[1] == witw.__version__
    other = {**AREAS, "rio": {**AREAS["rio"], "gsd_m": 0.5}}
    assert origin(build(areas=other))[2] != first[2]
    rows = pair_rows("rio")
    tables.write_geo(Path("results/rio/pairs.parquet"), "pairs", rows[1:])
    changed = origin(build())
    assert changed[2] == first[2] and changed[3] != first[3]


def test_an_owner_whom_a_program_made_up_is_linked_nowhere(folder):
    for aoi in AREAS:
        rows = [row | {"satellite": tables.MADE} for row in pair_rows(aoi)]
        tables.write_geo(Path(f"results/{aoi}/pairs.parquet"), "pairs", rows)
    assert "https://www.flickr.com/photos/" not in build()


def test_the_best_median_and_worst_photos_are_labelled(folder):
    for name, color in (("best", (0, 90, 0)), ("worst", (90, 0, 0))):
        Image.new("RGB", (2000, 1000), color).save(f"results/locate/paris/{name}.png")
    captions = re.findall(r'class="heat">.*?<figcaption>(.*?)</figcaption>', build())
    assert captions == [
        "<b>Paris</b>, the photo that the network ranks best",
        "<b>Paris</b>, the median photo by rank",
        "<b>Paris</b>, the photo that the network ranks worst",
    ]


def test_of_many_test_areas_no_more_photos_are_shown_than_the_terms_allow(folder):
    picture = Path("results/locate/paris/heatmap.png").read_bytes()
    located = [(f"a{n}", name, picture) for n in range(12) for name in ("best", "heatmap", "worst")]
    pairs = pd.concat([tables.read(Path(f"results/{aoi}/pairs.parquet"), "pairs") for aoi in AREAS])
    text = page.render(page.Sources(AREAS, pairs, {}, {}, [], {}, located))
    photos = text.count('class="heat"') + text.count('class="pair"') + text.count('"pair one"')
    assert text.count('class="heat"') == 12
    assert photos <= samples.MAX_PHOTOS
