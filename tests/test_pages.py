"""README and docs are short, complete and readable at first sight."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GENERATED = {"config.md", "tables.md"}
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
# Phrases that an English-speaking engineer would not write.
SIGNS = ("to be had", "is believed", "what nothing tells", "so that no ", "are had", "is told of")
MOST_SEMICOLONS = 8  # in 1,000 words; nanoGPT has 0.6, torchgeo 2.5, modelblocks 5.7


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 170
    assert len(README.split()) <= 1500


def test_the_readme_answers_a_newcomers_questions():
    heads = re.findall(r"^## (.*)$", README, re.M)
    assert heads[:4] == [
        "Try it: two commands",
        "The real job",
        "What you get",
        "Your own photos and area",
    ]
    assert {"Everyday tasks", "Measured", "Limits", "Words", "Licence and credit"} <= set(heads)
    first = re.findall(r"```sh\n(.*?)```", README, re.S)[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]
    assert "![" in README


def test_each_headline_figure_has_its_command():
    table = README.split("## Measured")[1].split("##")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 6
    for row in rows:
        figure, command = row.strip("| ").split(" | ")
        assert re.search(r"\d", figure), row
        assert re.fullmatch(r"`(python -m benchmarks\.\w+.*|make \w+)`", command), row


def test_the_site_lists_every_page():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert "nav" not in config and config["docs_dir"] == "docs"
    assert not [name for name in config["exclude_docs"].split() if name.endswith(".md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_avoid_phrases_that_need_a_second_reading(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    assert not [sign for sign in SIGNS if sign in text.lower()]
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("|"))
    if page.name not in GENERATED:
        assert prose.count(";") <= max(4, MOST_SEMICOLONS * len(prose.split()) / 1000)
