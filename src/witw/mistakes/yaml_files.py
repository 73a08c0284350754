"""Read config files more strictly than YAML does: nothing in them is dropped without a word.

YAML keeps the last of two equal keys, so that an area given twice loses one of the two, and it
reads ``007``, ``yes`` and ``2024-01-01`` as something else than text.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from witw.errors import UserError

STR, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "timestamp": "a date"}
# Snakemake hands a file with this key to its template engine, whose keys may repeat.
TEMPLATE = "__use_yte__"


def read(path: Path, *, strict: bool = True) -> dict[str, Any]:
    """Read a YAML or JSON file of keys.

    Args:
        path: of the file.
        strict: whether a key that is there twice or is no text is a mistake.

    Raises:
        UserError: it is missing, not readable, empty, or a key is wrong; names file and line.
    """
    text = _text(path)
    try:
        value = _parse(text, path, strict)
    except yaml.YAMLError as error:
        try:
            # Tabs may indent JSON, and never YAML.
            value = json.loads(text, object_pairs_hook=functools.partial(_distinct, path))
        except ValueError:
            raise UserError(f"{path}{_syntax(error, text)}") from None
    except RecursionError:
        raise UserError(
            f"{path} is not a config file: its keys or lists nest too deeply."
        ) from None
    if value is None:
        raise UserError(f"{path} holds no keys: it is empty; docs/config.md lists the keys.")
    if not isinstance(value, Mapping):
        raise UserError(
            f"{path} holds no keys: it is {_kind(value)}, and must be lines of `key: value`; "
            "docs/config.md lists the keys."
        )
    return dict(value)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"Config file {path} does not exist (relative to {Path.cwd()}); correct the name that "
            "--configfile gives, or write the file."
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a config file: it is not text in UTF-8.") from None
    except OSError as error:
        raise UserError(f"Config file {path} cannot be read: {error.strerror}.") from None


def _parse(text: str, path: Path, strict: bool) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if strict and not _is_template(node):
            for where, mapping in _mappings(node, ()):
                _check(loader, mapping, where, path)
        return loader.construct_document(node)
    except yaml.constructor.ConstructorError as error:
        raise yaml.MarkedYAMLError(problem=error.problem, problem_mark=error.problem_mark) from None
    except ValueError as error:  # a date like 2024-02-31
        raise UserError(f"{path} is not readable YAML: {error}.") from None
    finally:
        loader.dispose()


def _distinct(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the keys of a JSON object, each of which must be there once."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"{path}: the key `{name}` is there twice in one mapping, and only the last would "
                "count; rename or remove one of the two."
            )
    return dict(pairs)


def _is_template(node: yaml.Node) -> bool:
    keys = node.value if isinstance(node, yaml.MappingNode) else []
    return any(key.value == TEMPLATE for key, _ in keys)


def _mappings(
    node: yaml.Node, where: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], yaml.MappingNode]]:
    """Yield every mapping below a node, with the keys above it; follow each alias once."""
    todo, seen = [(where, node)], set()
    while todo:
        where, node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield where, node
            todo += [((*where, str(key.value)), value) for key, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            todo += [(where, value) for value in reversed(node.value)]


def _check(
    loader: yaml.SafeLoader, node: yaml.MappingNode, where: tuple[str, ...], path: Path
) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.tag == MERGE:
            continue
        if not isinstance(key, yaml.ScalarNode):
            raise UserError(f"{path}, line {line}: a key must be text, not a list or mapping.")
        text = str(key.value)
        if key.tag != STR:
            kind = KINDS.get(key.tag.rsplit(":", 1)[-1], "something else than text")
            what = "area name" if where == ("aois",) else "key"
            raise UserError(
                f"{path}, line {line}: YAML reads the {what} {text} as {kind}; quote it: '{text}'."
            )
        if text in lines:
            what = f"Area {text!r}" if where == ("aois",) else f"key `{'.'.join((*where, text))}`"
            raise UserError(
                f"{path}, line {line}: the {what} is there already in line {lines[text]}, and YAML "
                "would keep only the last; rename or remove one of the two."
            )
        lines[text] = line


def _syntax(error: yaml.YAMLError, text: str) -> str:
    """Return where and why a file is not YAML, to follow its name."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return f" is not readable YAML: {' '.join(str(error).split())}."
    for number in (mark.line, mark.line - 1):  # YAML notices some faults in the line below
        line = (*text.splitlines(), "")[number]
        if "\N{NO-BREAK SPACE}" in line:
            return f", line {number + 1}: there is a no-break space; replace it with a space."
        if re.match(r"\s*(- )?\w+:[^\s/]", line):
            return f", line {number + 1}: a space is missing after the colon."
    place = f", line {mark.line + 1}, column {mark.column + 1}"
    problem = str(getattr(error, "problem", "") or "a mistake")
    if "'\\t'" in problem or "\t" in problem:
        problem = "there is a tab; indent with spaces"
    return f"{place} is not readable YAML: {' '.join(problem.split())}."


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else f"the single value {str(value)[:40]!r}"
