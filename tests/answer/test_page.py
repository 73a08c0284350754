"""The page as a person uses it: in a browser, by keyboard and screen reader, on paper, offline."""

import base64
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_answer import FACTS, answer, grid, hills
from rasterio.transform import from_origin

from witw.answer import colours, imagery, page
from witw.answer.content import Known
from witw.answer.page import Shown
from witw.cvig.locating.located import Scene

HERE = Path(__file__).parent
LONG = "Llanfairpwllgwyngyllgogerychwyrndrobwll" * 3
EVIL = '<script>alert(1)</script>"&.jpg'


class Page(HTMLParser):
    """Collects tags, their attributes and the visible text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.inside = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside not in ("style", "script"):
            self.words.append(data)

    def handle_endtag(self, tag):
        self.inside = ""

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def seen(tmp_path_factory, browser):
    """Return observations of a page of two answers in Chromium."""
    folder = tmp_path_factory.mktemp("page")
    of = grid()
    known = Known(tuple(of.centres()[100]), "Its own chip ranks 3 of 40.", "by Ann, CC BY 2.0")
    shown = [
        Shown(answer(folder), known),
        Shown(
            answer(folder, photos=3, here=0.05, name="Llanfairpwllgwyngyllgogerychwyrndrobwll" * 3)
        ),
    ]
    (folder / "answer.html").write_text(page.render(shown, "Imagery: CC BY-SA 4.0."))
    command, chromium = browser
    done = subprocess.run(
        [*command, HERE / "browse_answer.py", chromium, folder / "answer.html", folder],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), shown[0].found


def test_the_page_appears_at_once_without_the_network(seen):
    told, _ = seen
    assert told["requests"] == []
    assert told["console"] == []
    assert told["paint_ms"] < 1000


def test_the_slider_changes_the_map(seen):
    told, found = seen
    total = found.grid.rows * found.grid.columns
    for level, (share, text) in told["shares"].items():
        inside = found.region(int(level) / 100)
        coloured = inside & (colours.levels(colours.bits(found.probability, found.here)) > 0)
        # Besides the coloured cells, the outline is drawn, with half of it outside.
        assert coloured.sum() / total <= share <= 2.2 * inside.sum() / total
        assert text.startswith(f"{level} %: ")
        assert f"{inside.sum() * found.grid.step_m**2 / 1e6:.3g} km" in text
    shares = [share for share, _ in told["shares"].values()]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1] / 2
    assert told["by_key"].startswith("94 %: ")
    assert told["value_text"] == told["by_key"]


def test_places_answer_to_mouse_and_keyboard(seen):
    told, found = seen
    assert told["first"] == ["1", ["1"]]
    assert told["clicked"] == ["3", ["3"]]
    assert told["keyed"] == ["2", ["2"]]
    assert told["next"] == "copy"
    second = found.places(2)[1]
    assert told["copied"] == f"{second.lat:.6f}, {second.lon:.6f}"
    assert told["copied"] in told["status"]
    assert told["zoomed"] == pytest.approx(2, rel=0.01)


def test_the_page_is_accessible(seen):
    told, _ = seen
    assert [v for v in told["violations"] if v["impact"] in ("serious", "critical")] == []
    assert told["widths"] == {"390": 390, "1280": 1280}
    assert told["scrolls"] == [0] * 8
    assert told["clipped"] == []


def test_the_print_shows_all_places(seen):
    told, found = seen
    text = " ".join(" ".join(told["text"]).split())
    for place in found.places(5):
        assert f"{place.lat:.6f}, {place.lon:.6f}" in text
    assert "Probably not here" in text
    assert "A lead, not proof" in text
    assert "CC BY-SA 4.0" in text
    assert len(told["text"]) <= 8


def test_nothing_from_outside_becomes_markup(tmp_path):
    facts = {**FACTS, "areas": {"a": {"city": "<img src=x>", "split": "train"}}}
    found = answer(tmp_path, name=EVIL, area="<b>", facts=facts)
    text = page.render([Shown(found, Known(note=EVIL, credit=EVIL))])
    parsed = Page(text)
    scripts = [a for tag, a in parsed.tags if tag == "script"]
    assert [a.get("type") for a in scripts] == ["application/json", None]
    assert "alert(1)</script>" not in text
    assert EVIL in parsed.text
    for tag, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert tag not in ("iframe", "object", "form", "link", "base")
        if tag == "img":
            assert attributes["src"].startswith("data:image/")
            assert attributes["alt"]
        if tag == "a":
            assert attributes["href"].startswith("https://")
            assert attributes["rel"] == "noreferrer noopener"
    assert "default-src 'none'" in text
    style = text[text.index("<style>") : text.index("</style>")]
    assert all(
        u.startswith("data:image/jpeg;base64,") for u in re.findall(r"url\(([^)]+)\)", style)
    )


def test_the_page_says_how_far_to_trust_it(tmp_path):
    heat = hills(grid(), height=9)
    found = answer(tmp_path, heat)
    text = Page(page.render([Shown(found)])).text
    told = "The model was trained on 1,200 photos of the synthetic cities Alder, Birch."
    assert told in text
    assert "Of 57 photos of unseen cities with" in text
    assert "82 % within 100 m of one of the five" in text
    assert "own photos and 24 % of photos of other cities" in text
    assert "70 %, with even odds beforehand" in text
    share = found.area_share(0.8)
    assert f"The 80 % region covers {100 * share:#.2g} % of the searched area" in text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"here": 0.2}, "Probably not here."),
        ({"here": 0.7}, "It may have been taken here."),
        ({"facts": {}, "here": float("nan")}, "It was not measured whether"),
        ({"scenes": (Scene(0.1, "/home_office"),)}, "shows an indoor scene (home office)"),
        ({"unusual": (True,)}, "looks unlike the photos that the network was trained on"),
    ],
)
def test_doubts_are_stated(tmp_path, more, said):
    assert said in Page(page.render([Shown(answer(tmp_path, **more))])).text


@pytest.mark.parametrize(
    ("here", "said"),
    [(0.2, "It may have been taken elsewhere."), (0.05, "Probably not here.")],
)
def test_a_weak_measure_does_not_judge(tmp_path, here, said):
    presence = {**FACTS["presence"], "test": {"strangers_pct": 92.0}}
    found = answer(tmp_path, here=here, facts={**FACTS, "presence": presence})
    assert said in Page(page.render([Shown(found)])).text


def test_three_kilometres_square_fit_into_five_megabytes(tmp_path):
    """The imagery compresses as badly as real imagery does."""
    of = grid(107, 107, ())
    rng = np.random.default_rng(0)
    side = round(107 * 28 / 0.6)
    noise = rng.normal(110, 35, (3, side // 3 + 1, side // 3 + 1)).repeat(3, 1).repeat(3, 2)
    rgb = noise[:, :side, :side].clip(0, 255).astype(np.uint8)
    with rasterio.open(
        tmp_path / "mosaic.tif", "w", driver="GTiff", width=side, height=side, count=3,
        dtype="uint8", crs="EPSG:32631", transform=from_origin(of.west, of.north, 0.6, 0.6),
    ) as out:  # fmt: skip
        out.write(rgb)
    text = page.render([Shown(answer(tmp_path, hills(of), of))])
    assert len(text.encode()) <= 5_000_000


def test_a_large_map_is_drawn_coarser(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_CELLS", 100)
    found = answer(tmp_path)
    data = json.loads(str(page._data(found)))
    assert (data["rows"], data["columns"]) == (7, 8)
    entry = np.frombuffer(base64.b64decode(data["entry"]), np.uint8).reshape(7, 8)
    best = np.unravel_index(entry.argmin(), entry.shape)
    cell = found.grid.cells[found.order[0]]
    assert best == (cell // 24 // 3, cell % 24 // 3)


def test_colours_mean_the_same_on_every_map():
    flat = np.full(900, 1 / 900)
    assert (colours.levels(colours.bits(flat)) == 0).all()
    assert colours.scale()[0, 3] == 0
    # A likelihood of sixteen times the prior is the same step, whatever else is on the map.
    for cells in (100, 10_000):
        odds = np.full(cells, (1 - 16 / cells) / (cells - 1))
        odds[3] = 16 / cells
        assert colours.levels(colours.bits(odds))[3] == round(255 * 4 / colours.MOST_BITS)
    odds = np.full(100, 0.84 / 99)
    odds[0] = 0.16
    # A photo that is probably from elsewhere makes every cell less likely.
    maybe, surely = (colours.bits(odds, here) for here in (0.02, 1.0))
    assert maybe[0] < 0
    assert surely[0] == pytest.approx(np.log2(16) + 1)
    assert (np.diff(colours.scale()[:, :3].astype(int).sum(axis=1)[8:]) >= -6).all()


@pytest.mark.parametrize("heading", [0, 90, 200])
def test_chips_look_up(tmp_path, heading):
    """Red rises to the east, green to the north; in a turned chip the view ahead is above."""
    of = grid()
    answer(tmp_path, of=of)
    place = (of.west + of.columns * of.step_m / 2, of.north - of.rows * of.step_m / 2)
    chip = np.asarray(imagery.around(tmp_path / "mosaic.tif", place, heading, 200.0, 100), float)
    ahead = chip[:20].mean(axis=(0, 1)) - chip[-20:].mean(axis=(0, 1))
    # Colours rise equally to the east and to the north, except for the area's two sides.
    east, north = ahead[0] * of.columns, ahead[1] * of.rows
    found = np.degrees(np.arctan2(east, north)) % 360
    assert (found - heading + 180) % 360 - 180 == pytest.approx(0, abs=3)


def test_the_imagery_is_as_bright_as_the_raster(tmp_path):
    found = answer(tmp_path)
    picture = imagery.area(found.mosaic, imagery.Frame.of(found.grid))
    assert np.asarray(picture).mean(axis=(0, 1)) == pytest.approx([125, 125, 90], abs=2)


def test_the_same_answer_has_the_same_bytes(tmp_path):
    assert page.render([Shown(answer(tmp_path))]) == page.render([Shown(answer(tmp_path))])
