"""Documentation names existing things: links, paths, the tree and stages of docs/design.md."""

import re
from pathlib import Path

import pytest

from witw import spec

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "witw"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "config" / "README.md",
    ROOT / "profiles" / "README.md",
    ROOT / "benchmarks" / "README.md",
]
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
TREE = DESIGN.split("```")[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    gone = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not gone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_modules_and_files_exist(page):
    text = page.read_text(encoding="utf-8")
    tops = ("src", "tests", "rules", "docs", "benchmarks", "profiles")
    files = [
        path.relative_to(ROOT).as_posix() for top in tops for path in (ROOT / top).rglob("*.*")
    ]
    named = {name for name in re.findall(r"`([\w./]+\.(?:py|smk|sbatch))`", text) if "/" in name}
    assert not [name for name in named if not any(f"/{f}".endswith(f"/{name}") for f in files)]
    for module in re.findall(r"python -m ((?:witw|benchmarks)[\w.]*\w)", text):
        path = (PACKAGE.parent if module.startswith("witw") else ROOT) / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def entries():
    """Return the entries of the tree for each folder of the package."""
    below = TREE.split("src/witw/\n")[1]
    found, above = {}, ""
    for line in below.splitlines():
        indent = len(line) - len(line.lstrip())
        names, _, told = line.strip().partition("  ")
        folders = [name.strip("/") for name in re.findall(r"[\w]+/", line[:27])]
        for folder in folders:
            found[f"{above}/{folder}" if indent > 2 else folder] = (names, told.strip())
        if indent == 2 and folders:
            above = folders[-1]
    return found


def test_the_tree_has_every_folder_of_the_package():
    there = {
        path.parent.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("__init__.py")
        if path.parent != PACKAGE
    }
    deeper = {folder for folder in there if folder.count("/") > 1}
    assert set(entries()) == there - deeper


def test_the_tree_names_every_stage_in_the_order_of_the_flow():
    told = entries()
    expected = {}
    for stage, module in spec.STAGES.items():
        expected.setdefault(module.split(".")[1], []).append(stage)
    del expected["report"]
    for folder, stages in expected.items():
        named = [name for name in told[folder][1].split() if name in spec.STAGES]
        assert sorted(named) == sorted(stages)
    assert told["imagery"][1].split() == expected["imagery"]


def test_messages_and_package_are_described_correctly():
    page = (ROOT / "docs" / "workflow.md").read_text(encoding="utf-8")
    assert "Paris: downloading shard 3 of 32\n    rule: download aoi=paris,shard=0002" in page
    rules = (ROOT / "rules" / "download.smk").read_text(encoding="utf-8")
    assert 'says("{params.spec.area}: downloading {params.spec.shard}")' in rules
