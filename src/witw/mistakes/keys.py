"""What pydantic finds in a config, as one sentence that names file, AOI and key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

# Longest value that is repeated in a sentence.
LONGEST = 60
# Where a value may be of several types pydantic puts the one that it tried into the place.
BRANCHES = frozenset({"int", "float", "str", "bool", "tuple", "list"})
# What a list holds, for those who gave something else.
LISTS = {
    "bbox_deg": "[west, south, east, north]",
    "bands": "[red, green, blue]",
    "strips": "[imagery/one.tif, imagery/two.tif]",
}
# Kinds of findings about days and moments, whose own words tell of parsing.
DAYS = ("date_", "datetime_", "timezone_")


def sentence(
    error: ValidationError,
    model: type[BaseModel],
    source: str,
    where: tuple[str, ...],
    area: type[BaseModel],
) -> str:
    """Return the finding that explains the others.

    Args:
        error: what pydantic raised.
        model: what was validated.
        source: name of the file.
        where: keys that lead to the data that was validated.
        area: model of the values of ``aois``.
    """
    found = error.errors(include_url=False)
    # A key that is missing may be there by another name, and that is what to correct.
    unknown = [one for one in found if one["type"] == "extra_forbidden"]
    first = found[0]
    if first["type"] == "missing" and not isinstance(first["loc"][-1], int):
        first = next((one for one in unknown if one["loc"][:-1] == first["loc"][:-1]), first)
    loc = (*where, *first["loc"])
    aoi = f"Area {loc[1]!r}: " if loc[0] == "aois" and len(loc) > 1 else ""
    inner = loc[2:] if aoi else loc
    begin = f"{source}: {aoi}"
    if first["type"] == "extra_forbidden":
        absent = [str(one["loc"][-1]) for one in found if one["type"] == "missing"]
        return begin + _unknown(inner, absent, model, area)
    if first["type"] == "missing" and not isinstance(inner[-1], int):
        key = _name(inner)
        return f"{begin}the key {key} is missing; docs/config.md says what it holds."
    choices = [one for one in found if one["type"] == "literal_error"]
    choices = [one for one in choices if one["loc"][:-1] == first["loc"][:-1]]
    if inner and inner[-1] in BRANCHES and choices and first not in choices:
        # The key takes a number or one of a few words, and pydantic reports each by itself.
        expected = f"a number, {choices[0].get('ctx', {}).get('expected')}"
        value = _shown(first["input"])
        return f"{begin}{_name(inner)}: it is {value}, and must be {expected}."
    return begin + _wrong(first, inner)


def _name(loc: Sequence[int | str]) -> str:
    """Format a key, with entries counted from 1: `chips.size_px`, entry 3 of `bands`."""
    told = ""
    keys: list[str] = []
    for part in loc:
        if isinstance(part, int):
            told = f"entry {part + 1} of `{'.'.join(keys)}`" + (f" of {told}" if told else "")
            keys = []
        elif part not in BRANCHES and "[" not in part:
            keys.append(part)
    if not keys:
        return told
    return f"`{'.'.join(keys)}`" + (f" of {told}" if told else "")


def _unknown(
    loc: Sequence[int | str], absent: Sequence[str], model: type[BaseModel], area: type[BaseModel]
) -> str:
    key, last = ".".join(map(str, loc)), str(loc[-1])
    known = _known_keys(model, area)
    wanted = [name for name in absent if last in name or name in last]
    near = wanted or difflib.get_close_matches(last, absent, 1)
    if last not in known:
        # Of two keys that are as near, the one that may stand here.
        near = near or difflib.get_close_matches(last, _beside(loc, model, area), 1)
    near = near or difflib.get_close_matches(last, known, 1)
    if near and near[0] != last:
        return f"unknown key `{key}`; did you mean `{near[0]}`?"
    homes = [path for path in _paths(model, area) if path.split(".")[-1] == last]
    if homes:
        return f"unknown key `{key}`; its place is `{homes[0]}`."
    return f"unknown key `{key}`; docs/config.md lists the keys."


def _beside(loc: Sequence[int | str], model: type[BaseModel], area: type[BaseModel]) -> list[str]:
    """Return the keys of a key's section; for a key of an area, those of all areas."""
    outer = [str(part) for part in loc[:-1] if not isinstance(part, int)]
    paths = [path.split(".") for path in _paths(model, area)]
    return [path[-1] for path in paths if path[:-1] == outer]


def _wrong(found: ErrorDetails, loc: Sequence[int | str]) -> str:
    """Describe an impossible value and what is expected."""
    key, kind, value = _name(loc), found["type"], found["input"]
    begin = f"{key}: " if key else ""
    if kind in ("value_error", "assertion_error"):
        return f"{begin}{str(found['msg']).removeprefix('Value error, ')}."
    last = str(loc[-1]) if loc else ""
    form = LISTS.get(last, "[one, two]")
    if kind in ("tuple_type", "list_type"):
        return f"{begin}it is {_shown(value)}, and must be a list in square brackets: {form}."
    if kind in ("missing", "too_long") and (kind == "too_long" or isinstance(loc[-1], int)):
        outer = loc[:-1] if kind == "missing" else loc
        form = LISTS.get(str(outer[-1]), form)
        return f"{_name(outer)}: it must be {form}, neither more nor fewer entries."
    if kind == "string_type":
        return f"{begin}it is {_shown(value)}, and must be text; put it in quotes."
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{begin}it is {_shown(value)}, and must hold keys, each as `key: value`."
    if "bands" in loc and kind in ("greater_than_equal", "int_type", "int_parsing"):
        return f"{begin}it is {_shown(value)}, and bands are counted from 1."
    if kind == "too_short":
        return f"{begin}it is empty, and must have at least one entry: {form}."
    if kind.startswith(DAYS):
        return f"{begin}it is {_shown(value)}, and must be a day, such as 2026-11-01."
    text = str(found["msg"]).replace("Input should be", "must be", 1)
    text = text.replace("String should match pattern", "must match the pattern", 1)
    text = re.sub(r", (unable to parse|got).*", "", text)
    return f"{begin}it is {_shown(value)}, and {text}."


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping of keys"
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _known_keys(model: type[BaseModel], area: type[BaseModel]) -> list[str]:
    """Return every key name of a model and of the sections below it."""
    return [path.split(".")[-1] for path in _paths(model, area)]


def _paths(model: type[BaseModel], area: type[BaseModel]) -> list[str]:
    """Return the same with the sections above each key; for a key of an area, from the area on."""
    paths: list[str] = []
    for name, field in model.model_fields.items():
        paths.append(name)
        sub = area if name == "aois" else field.annotation
        if isinstance(sub, type) and issubclass(sub, BaseModel):
            begin = "" if name in ("aois", "defaults") else f"{name}."
            paths += [begin + path for path in _paths(sub, area)]
    return paths
