"""A whole run on a city with malicious members: harmful texts, names and pictures."""

import io
import json
import struct
import unicodedata
import zlib
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest
from PIL import Image

from made_town import AREA, fresh_town
from witw import tables
from witw.demo.fake_flickr.server import FlickrServer, folder_pictures, load_catalog

pytestmark = [pytest.mark.workflow, pytest.mark.long]

TITLES = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b31m",
    "safe \u202e\u2066gpj.exe\u2069 \u200f\ufeff",
    "one\r\ntwo\u2028three\u2029four\x85five\x0bsix",
    "| cell | [click](javascript:alert(1)) `x` </td>",
    '=HYPERLINK("http://127.0.0.1:1/")',
    "{{ 7 * 7 }}{% include '/etc/passwd' %}${7*7}",
    "\x00\x01null \\ud800",
    "A" * 200_000,
    "../../../../etc/passwd",
]
OWNERS = [
    "../../../../tmp/owned",
    "a/../..?x=#y",
    '"><script>alert(2)</script>',
    "javascript:alert(3)",
    "\x1b[2J\u202e",
]
FORMAT = ("Cc", "Cf", "Cs", "Zl", "Zp")
JOINERS = "\u200c\u200d"  # of emoji, kept in credit lines


def steering(text, kept="\n\t"):
    """Return characters that steer a terminal, break a line or change its direction."""
    return sorted({c for c in text if unicodedata.category(c) in FORMAT and c not in kept})


@cache
def png_bomb():
    """Return a valid PNG of 30,000 x 30,000 black pixels in a few thousand bytes."""
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(3_000_100)) for _ in range(300)) + packer.flush()
    parts = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + parts


def jpeg_bomb(whole):
    """Return a JPEG whose frame header claims 65,500 x 65,500 px."""
    at = whole.index(b"\xff\xc0")
    return whole[: at + 5] + struct.pack(">HH", 65_500, 65_500) + whole[at + 9 :]


def tiny():
    out = io.BytesIO()
    Image.new("RGB", (1, 1)).save(out, "JPEG")
    return out.getvalue()


HOSTILE = {
    "png bomb": lambda whole: png_bomb(),
    "jpeg bomb": jpeg_bomb,
    "tiny": lambda whole: tiny(),
    "a page after the picture": lambda whole: whole + b"<script>alert(1)</script>" * 900_000,
}


@pytest.fixture(scope="module")
def city(tmp_path_factory, free_port):
    """Return a finished run's folder, and the kind of attack of each photo."""
    town = fresh_town(tmp_path_factory, free_port)
    catalog = load_catalog(town.folder / "world" / "catalog.parquet")
    photos = [
        replace(
            photo,
            title=TITLES[n % len(TITLES)],
            owner=OWNERS[n % len(OWNERS)],
            owner_name=TITLES[(n + 3) % len(TITLES)] if n % 2 else "",
        )
        for n, photo in enumerate(catalog)
    ]
    there = [p.id for p in photos if not p.removed and p.license_id]
    kinds = dict(zip(there, HOSTILE, strict=False))
    good = folder_pictures(town.folder / "world" / "pictures")

    def picture(photo_id):
        whole = good(photo_id)
        return HOSTILE[kinds[photo_id]](whole) if photo_id in kinds and whole else whole

    with FlickrServer(photos, picture, port=free_port):
        town.finish(targets=["results/dataset/pairs.parquet", "results/report/report.html"])
    return town.folder, kinds, photos


def test_every_photo_has_its_row_and_no_bomb_is_stored(city):
    folder, kinds, photos = city
    pairs = tables.read(folder / f"results/{AREA}/pairs.parquet", "pairs").set_index("id")
    assert set(pairs.index) == {photo.id for photo in photos if photo.license_id}
    for photo_id, kind in kinds.items():
        assert pairs.loc[photo_id, "status"] == "corrupt", kind
        assert not list((folder / "photos").rglob(f"{photo_id}.jpg")), kind
    assert (pairs["status"] == "paired").any()


def test_nothing_is_written_to_paths_in_names(city):
    folder, _, _ = city
    known = {"world", "models", "config.yaml", "results", "photos", "journal", "logs"}
    assert {p.name for p in folder.iterdir()} <= known | {".snakemake", "snakemake.txt", "report"}
    for path in (folder / "photos").rglob("*"):
        assert path.is_dir() or path.suffix == ".jpg"
    for path in folder.rglob("*"):
        assert folder.resolve() in path.resolve().parents
        assert "owned" not in path.name


def test_credit_lines_are_one_plain_line(city):
    folder, _, _ = city
    pairs = tables.read(folder / f"results/{AREA}/pairs.parquet", "pairs")
    for row in pairs.itertuples():
        assert not steering(row.credit, JOINERS), row.credit[:200]
        assert row.url.startswith("https://www.flickr.com/photos/")
        assert row.url.count("/") == 5
        assert ".." not in row.url.replace("%2F", "/").split("/")[:4]


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_the_report_runs_no_script_and_keeps_text_direction(city):
    folder, _, _ = city
    text = (folder / "results/report/report.html").read_text()
    assert not steering(text, "\n\t" + JOINERS)
    page = Page(text)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "iframe", "object", "form", "base"})
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        if tag == "a":
            # Links leave the page only by https; its own sections use anchors.
            assert attributes["href"].startswith(("https://", "#")), attributes
    assert "49" not in page.text.split("{{ 7 * 7 }}")[-1][:5]


def test_one_long_title_does_not_make_the_report_unreadable(city):
    folder, _, _ = city
    page = Page((folder / "results/report/report.html").read_text())
    assert max(map(len, page.text.split())) < 1000


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "funnel.csv", "licenses.csv"])
def test_the_data_sets_descriptions_contain_no_control_characters(city, name):
    folder, _, _ = city
    path = folder / "results/dataset" / name
    if not path.is_file():
        pytest.skip(f"this data set has no {name}")
    text = path.read_text()
    assert not steering(text, "\n\t\r" + JOINERS)
    assert "<script" not in text
    if name.endswith(".json"):
        json.loads(text)


def test_logs_and_terminal_contain_no_control_characters(city):
    folder, _, _ = city
    logs = [path for path in (folder / "logs").rglob("*.log") if path.is_file()]
    assert logs
    for path in [*logs, folder / "snakemake.txt", *(folder / ".snakemake/log").glob("*.log")]:
        # Snakemake's own progress may colour a terminal, but not a file.
        assert not steering(path.read_text(errors="replace"), "\n\t\r"), path
