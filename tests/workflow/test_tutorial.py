"""docs/tutorial.md as written: its config, its commands, its Python, on a synthetic area."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from made_town import fresh_town
from witw.demo.build import served

pytestmark = [pytest.mark.workflow, pytest.mark.long]  # four runs of snakemake
REPO = Path(__file__).parents[2]
PAGE = (REPO / "docs" / "tutorial.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def place(tmp_path_factory, free_port):
    """Return the tutorial's config with the box, strip and services of a synthetic town."""
    town = fresh_town(tmp_path_factory, free_port)
    config, made = (
        yaml.safe_load(text)
        for text in (blocks("yaml")[0], (town.folder / "config.yaml").read_text())
    )
    own = config["aois"]["alder"]
    own |= {key: made["aois"]["alder"][key] for key in ("bbox_deg", "strips")}
    config["flickr"] |= made["flickr"]
    config["defaults"] |= {"scenes": made["defaults"]["scenes"]}
    path = town.folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    with served(town.folder):
        yield town


def shell(place, text):
    """Run commands of the page in its run folder, in the environment of these tests."""
    tools = place.folder.parent / "bin"
    tools.mkdir(exist_ok=True)
    for name, module in (("witw", "witw"), ("snakemake", "snakemake")):
        (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        (tools / name).chmod(0o755)
    environ = place.environment() | {
        "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    }
    done = subprocess.run(
        ["sh", "-e", "-c", text],
        cwd=place.folder, env=environ, capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_the_tutorial_works_as_it_is_written(place):
    folder, key, look, run, whole, change = blocks("sh")
    assert folder == "mkdir my-area && cd my-area\n" and key.startswith("export FLICKR_API_KEY=")
    told = shell(place, look)
    assert re.search(r"^alder ", told, re.M) and "jobs would run" in told
    shell(place, run)
    (code,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place.folder, capture_output=True, text=True, check=True
    )
    assert re.search(r"^paired +\d+$", done.stdout, re.M), done.stdout
    assert "snakemake" in whole  # the same command without a target
    path = place.folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["aois"]["alder"]["chips"] = {"jpeg_quality": 80}
    path.write_text(yaml.safe_dump(config))
    told = shell(place, change)
    assert set(re.findall(r"^(\w+) +\d+ +alder", told, re.M)) == {"chips", "pairs"}, told
