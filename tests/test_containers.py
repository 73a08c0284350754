"""The container files, without a container engine: copied files exist, and no secret is copied."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.containers.fresh_root import steps as instructions

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
APPTAINER = (ROOT / "apptainer.def").read_text()
PIP = re.compile(r"pip install ([^\n&\\]*)")


def steps(text):
    """Return the packages that pip is asked to install, with options in any order."""
    return [sorted(line.split()) for line in PIP.findall(text)]


def test_both_install_the_lock_and_the_package_and_nothing_else():
    for text in (DOCKERFILE, APPTAINER):
        lock, package = steps(text)
        assert "--require-hashes" in lock and "--no-deps" in lock
        assert lock[-1].endswith("requirements.lock")
        assert "--no-deps" in package and "--no-build-isolation" in package
    assert re.search(r"^FROM python:([\d.]+)-", DOCKERFILE, re.M)[1] == python()
    assert re.search(r"^From: python:([\d.]+)-", APPTAINER, re.M)[1] == python()


def python():
    return (ROOT / ".python-version").read_text().strip()


def test_copied_files_exist_and_suffice_for_the_wheel():
    copied = re.findall(r"^    (\S+) /opt/witw/", APPTAINER, re.M)
    assert not [name for name in copied if not (ROOT / name).exists()]
    wheel = (ROOT / "pyproject.toml").read_text()
    forced = re.findall(r'^"([\w.]+)" = "witw/workflow/', wheel, re.M)
    assert set(forced) <= set(copied)
    assert {"src", "pyproject.toml", "README.md", "LICENSE"} <= set(copied)


def test_the_key_is_in_no_layer():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".env", "flickr_api_key.txt", ".git"} <= set(ignored)
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert compose["services"]["witw"]["secrets"] == ["flickr_api_key"]
    assert compose["secrets"]["flickr_api_key"]["file"] == "./flickr_api_key.txt"
    assert "FLICKR_API_KEY" not in DOCKERFILE + APPTAINER
    assert "flickr_api_key.txt" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize("given", ["", "from-outside"])
def test_the_entrypoint_reads_the_secret_if_no_key_is_set(tmp_path, given):
    secret = tmp_path / "key"
    secret.write_text("from-secret")
    text = (ROOT / "envs" / "entrypoint.sh").read_text()
    script = tmp_path / "entrypoint.sh"
    script.write_text(text.replace("/run/secrets/flickr_api_key", str(secret)))
    done = subprocess.run(
        ["sh", script, "sh", "-c", 'echo "$FLICKR_API_KEY"; exit 3'],
        env={"PATH": os.environ["PATH"], "FLICKR_API_KEY": given},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == (given or "from-secret")
    assert done.returncode == 3


def test_the_fresh_root_carries_out_every_instruction():
    """`make fresh-root` reads the Dockerfile, so it must not pass over a line of it."""
    found = list(instructions(DOCKERFILE))
    words = [word for word, _ in found]
    assert words[0] == "FROM"
    assert set(words) == {"FROM", "COPY", "RUN", "WORKDIR", "ENTRYPOINT", "CMD"}
    runs = [rest for word, rest in found if word == "RUN"]
    assert runs[0].endswith("-r /tmp/requirements.lock && rm /tmp/requirements.lock")
    assert len(runs) == len(steps(DOCKERFILE))
