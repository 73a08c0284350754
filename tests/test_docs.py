"""Generated pages are up to date, and a drift is detected."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from docs import generate
from witw import status, tables
from witw.errors import UserError

ROOT = Path(__file__).parents[1]
SOURCES = ["pyproject.toml", "requirements.lock", ".python-version"]


@pytest.fixture
def tree(tmp_path):
    for name in SOURCES:
        shutil.copy(ROOT / name, tmp_path / name)
    generate.main(["--root", str(tmp_path)])
    return tmp_path


def test_the_pages_of_the_repository_are_up_to_date():
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", list(generate.build(ROOT)))
def test_a_drift_is_reported(tree, name):
    generate.main(["--root", str(tree), "--check"])
    (tree / name).write_text((tree / name).read_text() + "# drift\n")
    with pytest.raises(UserError, match=re.escape(f"{name} is not up to date")):
        generate.main(["--root", str(tree), "--check"])
    (tree / name).unlink()
    with pytest.raises(UserError, match=re.escape(name)):
        generate.main(["--root", str(tree), "--check"])
    assert not (tree / name).exists()


def test_check_exits_with_1_and_one_line(tree):
    (tree / "docs" / "config.md").unlink()
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check", "--root", str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "witw: docs/config.md is not up to date; run `python docs/generate.py`.\n"


def test_the_schema_takes_the_shipped_config_and_no_other_key():
    schema = generate.config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    config = json.loads(json.dumps(yaml.safe_load((ROOT / "config.yaml").read_text()), default=str))
    jsonschema.validate(config, schema)
    config["aois"]["paris"]["shard"] = 3
    with pytest.raises(jsonschema.ValidationError, match="shard"):
        jsonschema.validate(config, schema)


def keys_of(schema, part):
    """Yield every key of a part of the schema, including sections."""
    for name, value in part["properties"].items():
        yield name
        ref = value.get("$ref") or value.get("items", {}).get("$ref")
        if ref:
            below = schema["$defs"][ref.rsplit("/", 1)[1]]
            yield from keys_of(schema, below.get("anyOf", [None, below])[1])


def test_every_key_is_on_the_config_page_with_its_default():
    schema = generate.config_schema()
    text = generate.config_page(schema)
    for key in [*keys_of(schema, schema), *keys_of(schema, schema["$defs"]["Aoi"])]:
        assert f"`{key}`" in text, key
    assert "| `gsd_m` | number (> 0) | `0.3` | m |" in text
    assert "| `bbox_deg` | 4 x number | **required** | degrees |" in text
    assert '| `split` | `train` or `val` or `test` | `"train"` |' in text


def test_every_column_is_on_the_tables_page():
    text = generate.tables_page()
    assert set(generate.TABLE_FILES) == set(tables.TABLES)
    for columns in tables.TABLES.values():
        for name, column in columns.items():
            assert f"| `{name}` | {column.dtype} | {column.unit} | {column.meaning}" in text
    for fate, meaning in status.STATUS_MEANING.items():
        assert f"| `{fate.value}` | {meaning} |" in text


def test_the_conda_environment_has_the_versions_of_the_lock():
    environment = yaml.safe_load(generate.build(ROOT)["envs/witw.yaml"])
    pins = dict(line.split("=") for line in environment["dependencies"])
    lock = (ROOT / "requirements.lock").read_text()
    for name, version in pins.items():
        if name != "python":
            pip = {"gdal": "gdal-wheel", "python-isal": "isal", "pytorch": "torch"}.get(name, name)
            assert re.search(rf"^{re.escape(pip)}=={re.escape(version)}[ ;]", lock, re.MULTILINE)
    assert {"gdal", "pytorch", "snakemake", "python", "numpy"} <= set(pins)


def test_a_lock_without_a_dependency_is_reported():
    with pytest.raises(UserError, match="lacks numpy"):
        generate.conda_environment('[project]\ndependencies = ["numpy>=2"]\n', "", "3.13")


def test_the_changelog_lists_the_version_of_every_stage():
    found = {}
    for path in (ROOT / "src" / "witw").rglob("*.py"):
        said = re.search(r"^VERSION = (\d+)$", path.read_text(), re.M)
        if said and "demo" not in path.parts and int(said[1]) > 1:
            found[path.parent.name if path.stem == "__main__" else path.stem] = said[1]
    text = (ROOT / "CHANGELOG.md").read_text()
    listed = re.search(r"have a new version \(`VERSION` of the module\) and rerun: (.*)\.", text)
    assert dict(part.rsplit(" ", 1) for part in listed[1].split(", ")) == found
