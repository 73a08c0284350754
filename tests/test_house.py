"""Allowed imports: the rules of docs/design.md, checked on the source text."""

import ast
import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
SOURCE = REPO / "src"
# Folders of src/witw that may load torch, and the one file beside them that reads torch files.
TORCH = ("witw.cvig", "witw.places365", "witw.demo", "witw.torch_files")
MOST_MODULES = 16


def modules(root):
    """Yield dotted name and path of every module below ``root``, packages without ``__init__``."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path, name, known):
    """Yield a module's imports: target, node, whether inside a function, and text.

    ``from a import b`` counts as ``a.b`` if that is a module; imports only for type checkers are
    left out.
    """
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    hidden = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    local = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join(filter(None, [*above, base]))
            names = [
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base
                for alias in node.names
            ]
        else:
            continue
        for imported in names:
            yield imported, node, id(node) in local, text.splitlines()


def graph(root):
    known = modules(root)
    return {
        name: {target for target, *_ in imports(path, name, known) if target in known} - {name}
        for name, path in known.items()
    }


def cycles(arrows):
    """Return groups of nodes that reach each other."""

    @cache
    def reach(start):
        seen, todo = set(), [start]
        while todo:
            for node in arrows.get(todo.pop(), ()):
                if node not in seen:
                    seen.add(node)
                    todo.append(node)
        return frozenset(seen)

    return {
        frozenset(n for n in reach(name) if name in reach(n))
        for name in arrows
        if name in reach(name)
    }


def wing(module):
    """Return the folder or file directly below ``witw``."""
    return module.split(".")[1] if "." in module else module


def within(module, *roots):
    return any(module == root or module.startswith(f"{root}.") for root in roots)


def wings(arrows):
    out = {}
    for module, targets in arrows.items():
        out.setdefault(wing(module), set()).update(
            wing(target) for target in targets if wing(target) != wing(module)
        )
    return out


def forbidden(root):
    """Return every import that crosses a wall, as ``importer -> imported``."""
    known = modules(root)
    for name, path in known.items():
        for target, *_ in imports(path, name, known):
            is_product = within(name, "witw") and not within(name, "witw.demo")
            if (
                (is_product and within(target, "witw.demo"))
                or (within(name, "witw.flickr") and within(target, "witw.imagery"))
                or (within(name, "witw.imagery") and within(target, "witw.flickr"))
                or (within(name, "witw.cvig") and within(target, "witw.flickr"))
                or (within(target, "torch", "torchvision", "timm") and not within(name, *TORCH))
            ):
                yield f"{name} -> {target}"


def unexplained(root):
    """Return imports in functions without a comment on their line or above their block."""
    known = modules(root)
    for name, path in known.items():
        for target, node, is_local, lines in imports(path, name, known):
            if is_local and not explained(lines, node):
                yield f"{name}:{node.lineno} {target}"


def explained(lines, node):
    if any("#" in line for line in lines[node.lineno - 1 : node.end_lineno]):
        return True
    above = node.lineno - 2
    while above > 0 and re.match(r"\s*(import|from) ", lines[above]):
        above -= 1
    return lines[above].lstrip().startswith("#")


def test_there_is_no_import_cycle():
    assert cycles(graph(SOURCE)) == set()


def test_no_wing_imports_one_that_imports_it():
    assert cycles(wings(graph(SOURCE))) == set()


def test_no_import_crosses_a_wall():
    assert list(forbidden(SOURCE)) == []


def test_an_import_inside_a_function_says_why():
    assert list(unexplained(SOURCE)) == []


def test_a_folder_is_small_enough_to_survey():
    count = Counter(path.parent for path in modules(SOURCE).values() if path.name != "__init__.py")
    crowded = {str(folder): n for folder, n in count.items() if n > MOST_MODULES}
    assert crowded == {}


def test_every_module_and_folder_says_what_it_is_for():
    for name, path in modules(SOURCE).items():
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert doc, name


def test_benchmarks_run_as_modules():
    assert "benchmarks" not in tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    for name, path in modules(REPO / "benchmarks").items():
        for target, *_ in imports(path, name, {}):
            assert not (path.parent / f"{target.split('.')[0]}.py").is_file(), f"{name}: {target}"


@pytest.fixture
def tree(tmp_path):
    """Write modules, given as dotted name and text, and return their root."""

    def write(**texts):
        for name, text in texts.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_a_cycle_is_detected_even_inside_a_function(tree):
    root = tree(
        witw__a="from witw import b\n",
        witw__b="def f():\n    # It is slow.\n    from witw.c import x\n",
        witw__c="from witw.a import y\n",
        witw__d="from witw import a\n",
    )
    assert cycles(graph(root)) == {frozenset({"witw.a", "witw.b", "witw.c"})}


def test_a_relative_cycle_is_detected(tree):
    root = tree(witw__p__a="from . import b\n", witw__p__b="from .a import x\n")
    assert cycles(graph(root)) == {frozenset({"witw.p.a", "witw.p.b"})}


def test_wings_that_import_each_other_are_detected(tree):
    root = tree(
        witw__p__a="from witw.q import b\n",
        witw__p__c="",
        witw__q__b="",
        witw__q__d="from witw.p import c\n",
    )
    assert cycles(graph(root)) == set()
    assert cycles(wings(graph(root))) == {frozenset({"p", "q"})}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("witw__report__page", "from witw.demo import build"),
        ("witw__flickr__search", "def f():\n    from witw.imagery.chips import run  # why"),
        ("witw__imagery__chips", "import witw.flickr.search"),
        ("witw__dataset__pack", "import torch.nn as nn"),
        ("witw__tables", "from torchvision import models"),
        ("witw__cvig__train", "from witw.flickr import search"),
    ],
)
def test_a_crossed_wall_is_detected(tree, name, text):
    assert len(list(forbidden(tree(**{name: text})))) == 1


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("def f():\n    import json\n", 1),
        ("def f():\n    # Slow.\n    import json\n", 0),
        ("def f():\n    import json  # slow\n", 0),
        ("import json\n", 0),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import json\n", 0),
    ],
)
def test_a_hidden_import_is_detected(tree, text, count):
    assert len(list(unexplained(tree(witw__a=text)))) == count


def test_no_two_files_of_tests_share_a_name():
    """Pytest imports them by bare name, so the second of two could not be imported."""
    names = sorted(path.name for path in (REPO / "tests").rglob("*.py"))
    assert len(set(names)) == len([name for name in names if name != "conftest.py"]) + 1


def test_no_test_imports_a_conftest():
    """Every folder has one of that name, so which one is found depends on the folders chosen."""
    for name, path in modules(REPO / "tests").items():
        assert "conftest" not in {target for target, *_ in imports(path, name, {})}, name
