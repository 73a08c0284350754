"""Generate the reference pages and the conda environment from the code.

``python docs/generate.py`` writes these files into the current source tree. ``--check`` writes
nothing and fails if a file is not up to date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from witw import files, status, tables
from witw.config import Config
from witw.errors import UserError

TABLE_FILES = {
    "photos": ("results/{aoi}/photos.parquet", "One row per listed photo."),
    "cells": ("results/{aoi}/cells.parquet", "One row per box of Flickr's search tree."),
    "ids": ("results/{aoi}/ids/{shard}.parquet", "One row per photo of a shard, for its download."),
    "downloads": ("results/{aoi}/photos/{shard}.parquet", "One row per photo, with its file."),
    "scenes": ("results/{aoi}/scenes/{shard}.parquet", "Places365 scores of photos with a file."),
    "chips": ("results/{aoi}/chips/{shard}.parquet", "Chips of outdoor photos in colour."),
    "pairs": (
        "results/{aoi}/pairs.parquet, results/dataset/pairs.parquet",
        "One row per listed photo; GeoParquet, with the geotag as point geometry in EPSG:4326.",
    ),
    "pack": ("results/pack/{split}/pairs.parquet", "One row per packed pair."),
    "ranks": ("results/evaluation/ranks.parquet", "Rank of each test photo's own chip."),
}

# Packages with other names on conda-forge; Snakemake is on bioconda.
CONDA_NAMES = {"gdal-wheel": "gdal", "isal": "python-isal", "torch": "pytorch"}
CHANNELS = ("conda-forge", "bioconda", "nodefaults")

_CONFIG_HEAD = """# Every key of `config.yaml`

Generated from the models in `src/witw/config.py` and `src/witw/settings/`.
[config.schema.json](config.schema.json) is the same for editors: begin the file with
`# yaml-language-server: $schema=docs/config.schema.json`.

An unknown key is an error that names the key. `defaults` and areas have the same keys, except for
keys marked "area only". An area overrides `defaults`, key by key. The config holds only settings
that affect results; cores, memory and partitions are in `profiles/`.
"""
_TABLES_HEAD = """# Every table and column

Generated from `src/witw/tables.py`. Tables are Parquet files, sorted by their first column, without
an index. The dtypes are those of pandas. Paths in tables are relative to the run folder.
"""


def build(root: Path) -> dict[str, str]:
    """Return the text of every generated file, by path relative to the source tree ``root``."""
    schema = config_schema()
    return {
        "docs/config.schema.json": json.dumps(schema, indent=2) + "\n",
        "docs/config.md": config_page(schema),
        "docs/tables.md": tables_page(),
        "envs/witw.yaml": conda_environment(
            _read(root / "pyproject.toml"),
            _read(root / "requirements.lock"),
            _read(root / ".python-version").strip(),
        ),
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run this command in the source tree.") from None


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of `config.yaml`."""
    schema = Config.model_json_schema()
    # A validator also accepts a strip's path alone, which the model's fields cannot express.
    body = schema["$defs"]["Strip"]
    schema["$defs"]["Strip"] = {
        "anyOf": [{"type": "string", "description": "The path alone."}, body],
        "description": body["description"],
    }
    area = schema["$defs"]["Aoi"]
    # A validator derives the box from `area`.
    needed = [key for key in area["required"] if key != "bbox_deg"]
    area["required"] = needed
    area["anyOf"] = [{"required": ["bbox_deg"]}, {"required": ["area"]}]
    source = schema["$defs"]["Source"]
    places = {"type": "array", "items": {"$ref": "#/$defs/Source"}}
    schema["$defs"]["Source"] = {
        "anyOf": [{"type": "string", "description": "The path alone."}, source],
        "description": source["description"],
    }
    usable = schema["$defs"]["Usable"]
    schema["$defs"]["Usable"] = {
        "anyOf": [{"type": "string", "description": "The path alone."}, usable],
        "description": usable["description"],
    }
    body["properties"]["path"] = {
        "anyOf": [{"type": "string"}, places],
        **{key: body["properties"]["path"][key] for key in ("default", "description")},
    }
    # A single source is also valid without a list, and two kinds by name alone.
    named = schema["$defs"]["PhotoSource"]
    schema["$defs"]["PhotoSource"] = {
        "anyOf": [{"type": "string", "enum": ["flickr", "mapillary"]}, named],
        "description": named["description"],
    }
    for holder in ("Aoi", "AoiDefaults"):
        key = schema["$defs"][holder]["properties"]["photos"]
        one = {"$ref": "#/$defs/PhotoSource"}
        key["anyOf"] = [one, {"type": key.pop("type"), "items": key.pop("items")}]
        key["default"] = "flickr"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "witw"}


def config_page(schema: dict[str, Any]) -> str:
    """Return the Markdown reference of every key: type, default, unit, meaning."""
    parts = schema["$defs"]
    area, shared = parts["Aoi"], parts["AoiDefaults"]["properties"]
    sections = [name for name, key in shared.items() if "$ref" in key]
    plain = {name: key for name, key in area["properties"].items() if name not in sections}
    for name, key in plain.items():
        if name not in shared:
            plain[name] = {**key, "description": f"{key['description']} (area only)"}
    top = schema["properties"]
    rows = [(f"`{name}`", top[name]["description"]) for name in ("model", "defaults", "aois")]
    text = [_CONFIG_HEAD, _markdown(("key", "meaning"), rows)]
    required = [*area["required"], "bbox_deg"]
    text.append(_section("aois.NAME", area["description"], plain, required))
    strip = parts["Strip"]["anyOf"][1]
    about = f"{strip['description']} The path alone is also valid."
    text.append(_section("aois.NAME.strips", about, strip["properties"], strip.get("required", [])))
    for key, kind in (("any_of", "Source"), ("mask", "Usable")):
        inner = parts[kind]["anyOf"][1]
        about = f"{inner['description']} The path alone is also valid."
        name = f"aois.NAME.strips.{key}"
        text.append(_section(name, about, inner["properties"], inner["required"]))
    source = parts["PhotoSource"]["anyOf"][1]
    text.append(_section("aois.NAME.photos", source["description"], source["properties"], []))
    joint = [name for name in top if name not in ("model", "defaults", "aois")]
    for name in [*sections, *joint]:
        holder = shared if name in sections else top
        body = parts[holder[name]["$ref"].rsplit("/", 1)[1]]
        prefix = "defaults or aois.NAME: " if name in sections else ""
        text.append(_section(f"{prefix}{name}", body["description"], body["properties"], []))
    return "\n".join(text)


def _section(
    name: str, about: str, keys: dict[str, dict[str, Any]], required: Sequence[str]
) -> str:
    rows = []
    for key, value in keys.items():
        text = value.get("description", "")
        unit = re.search(r" \[([^\]]+)\]", text)
        meaning = text.replace(unit.group(0), "") if unit else text
        default = "**required**" if key in required else f"`{json.dumps(value['default'])}`"
        if value.get("default", "") is None:
            default = ""
        rows.append((f"`{key}`", _type(value), default, unit.group(1) if unit else "", meaning))
    heads = ("key", "type", "default", "unit", "meaning")
    return f"## {_code(name)}\n\n{about}\n\n{_markdown(heads, rows)}"


def _code(name: str) -> str:
    *before, last = name.split(": ")
    return "".join(f"{word}: " for word in before) + f"`{last}`"


def _type(value: dict[str, Any]) -> str:
    """Describe a key's type and bounds in words."""
    if "anyOf" in value:
        options = [_type(option) for option in value["anyOf"] if option.get("type") != "null"]
        return " or ".join(options)
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "$ref" in value:
        return str(value["$ref"]).rsplit("/", 1)[1].lower()
    if "enum" in value:
        return " or ".join(f"`{word}`" for word in value["enum"])
    if "type" not in value:  # any value, described elsewhere
        return "value"
    kind = str(value["type"])
    if kind == "object":
        return "keys"
    if kind == "array" and "prefixItems" in value:
        return f"{len(value['prefixItems'])} x {_type(value['prefixItems'][0])}"
    if kind == "array":
        return f"list of {_type(value['items'])}"
    if value.get("format") == "date-time":
        return "date and time"
    words = {"number": "number", "integer": "whole number", "string": "text"}
    words |= {"boolean": "true or false", "object": "GeoJSON"}
    return words[kind] + _bounds(value)


def _bounds(value: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    signs["multipleOf"] = "multiple of"
    bounds = [f"{sign} {value[key]:g}" for key, sign in signs.items() if key in value]
    return f" ({', '.join(bounds)})" if bounds else ""


def tables_page() -> str:
    """Return the Markdown reference of every table and column, and of the statuses."""
    text = [_TABLES_HEAD]
    for name, columns in tables.TABLES.items():
        path, about = TABLE_FILES[name]
        shown = ", ".join(f"`{part}`" for part in path.split(", "))
        rows = [(f"`{key}`", col.dtype, col.unit, col.meaning) for key, col in columns.items()]
        table = _markdown(("column", "dtype", "unit", "meaning"), rows)
        text.append(f"## {name}\n\n{shown}\n\n{about}\n\n{table}")
    fates = [(f"`{fate.value}`", status.STATUS_MEANING[fate]) for fate in status.Status]
    about = "Each listed photo has the first status that applies, in the order of the flow."
    text.append(f"## Statuses of pairs\n\n{about}\n\n{_markdown(('status', 'meaning'), fates)}")
    return "\n".join(text)


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |\n" for row in lines)


def conda_environment(pyproject: str, lock: str, python: str) -> str:
    """Return a conda environment of the direct dependencies, at their locked versions.

    Args:
        pyproject: text of `pyproject.toml`.
        lock: text of `requirements.lock`.
        python: Python's version, such as `3.13`.

    Raises:
        UserError: the lock lacks a dependency.
    """
    locked = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, flags=re.MULTILINE))
    lines = [f"  - python={python}"]
    for requirement in tomllib.loads(pyproject)["project"]["dependencies"]:
        name = re.split(r"[^A-Za-z0-9._-]", requirement)[0]
        if name not in locked:
            raise UserError(f"requirements.lock lacks {name}; run `make lock`.")
        lines.append(f"  - {CONDA_NAMES.get(name, name)}={locked[name]}")
    head = (
        "# Generated by `python docs/generate.py` from pyproject.toml and requirements.lock.\n"
        "# conda env create -f envs/witw.yaml; conda activate witw; pip install --no-deps -e .\n"
    )
    channels = "".join(f"  - {name}\n" for name in CHANNELS)
    body = "\n".join(lines)
    return f"{head}name: witw\nchannels:\n{channels}dependencies:\n{body}\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    parser.add_argument(
        "--root", type=Path, default=Path(), help="source tree (default: this folder)"
    )
    args = parser.parse_args(argv)
    for name, text in build(args.root).items():
        path = args.root / name
        if not args.check:
            files.write_text(path, text)
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise UserError(f"{name} is not up to date; run `python docs/generate.py`.")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"witw: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
