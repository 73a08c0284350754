"""The package as others install it, and its entry points into the workflow."""

import re
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import yaml

import witw
from witw.commands.snakefile import snakefile
from witw.errors import UserError

REPO = Path(__file__).parents[2]
pytestmark = pytest.mark.workflow


def python(*args, cwd, path):
    command = [sys.executable, *map(str, args)]
    env = {"PYTHONPATH": str(path), "PATH": str(Path(sys.executable).parent)}
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=True, timeout=120
    ).stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel's content, as pip installs it into site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=REPO, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder / "site-packages")
    return folder / "site-packages"


@pytest.fixture(scope="module")
def metadata(wheel):
    (file,) = wheel.glob("*.dist-info/METADATA")
    return message_from_string(file.read_text())


def test_the_wheel_holds_every_module_its_data_and_the_workflow(wheel):
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    tops = ("Snakefile", "config.yaml", "configs/", "rules/", "profiles/")
    expected = {name.removeprefix("src/") for name in files if name.startswith("src/")}
    expected |= {f"witw/workflow/{name}" for name in files if name.startswith(tops)}
    held = {str(path.relative_to(wheel)) for path in wheel.rglob("*") if path.is_file()}
    assert {name for name in held if ".dist-info/" not in name} == expected
    assert {"witw/py.typed", "witw/workflow/rules/common.smk"} <= expected


def test_the_version_has_one_home(wheel, metadata, tmp_path):
    assert metadata["Version"] == witw.__version__
    assert python("-m", "witw", "--version", cwd=tmp_path, path=wheel) == f"witw {witw.__version__}"
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text())
    assert citation["version"] == witw.__version__
    assert not re.search(r"^version\b", (REPO / "pyproject.toml").read_text(), re.M)


def test_the_metadata_names_author_and_licence(metadata):
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text())
    assert metadata["Author"] == citation["authors"][0]["name"]
    assert metadata["License-Expression"] == citation["license"]
    urls = dict(value.split(", ", 1) for value in metadata.get_all("Project-URL"))
    assert citation["references"][0]["repository-code"] in urls.values()
    assert "Typing :: Typed" in metadata.get_all("Classifier")


def test_an_installed_package_plans_with_its_own_workflow(wheel, workplace, planned, monkeypatch):
    path = python("-m", "witw", "snakefile", cwd=workplace.folder, path=wheel)
    assert path == str(wheel / "witw/workflow/Snakefile")
    monkeypatch.setenv("PYTHONPATH", str(wheel))
    done = workplace.snakemake("-n", "--no-hooks", snakefile=path)
    assert done.returncode == 0, done.stderr
    assert f"profile {wheel}/witw/workflow/profiles/default" in done.stderr
    assert done.jobs == planned


def test_a_clone_uses_its_own_snakefile(tmp_path):
    assert snakefile() == REPO / "Snakefile"
    with pytest.raises(UserError, match="contains no workflow: install witw from its wheel"):
        snakefile(tmp_path / "lib" / "site-packages" / "witw")


@pytest.fixture(scope="module")
def planned(module_workplace):
    """Return the jobs of the same config by the Snakefile at the top."""
    done = module_workplace.snakemake("-n", "--no-hooks")
    assert "search:oslo" in done.jobs
    return done.jobs


@pytest.fixture
def module(workplace):
    """Return a workflow that uses this one as documented."""
    text = (REPO / "docs" / "workflow.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    path = workplace.folder / "other" / "Snakefile"
    path.parent.mkdir()
    path.write_text(code)
    return path


def test_another_workflow_may_use_this_one_as_a_module(module, workplace, planned):
    done = workplace.snakemake("-n", "--no-hooks", snakefile=module)
    assert done.returncode == 0, done.stderr
    assert done.jobs == planned
    assert re.search(r"^Job \d+: Oslo: downloading shard 1 of 2$", done.stdout, re.M)


def test_a_module_makes_the_checks_before_the_first_job(module, workplace):
    done = workplace.snakemake("--cores", 1, snakefile=module, key=None)
    assert done.returncode == 1
    assert "strips cannot be used" in done.text  # they are looked at before the key
    assert not (workplace.folder / "results").exists()


def test_the_catalogs_snakefile_has_the_default_target_and_the_default_profile(workplace, planned):
    done = workplace.snakemake("-n", "--no-hooks", snakefile=REPO / "workflow" / "Snakefile")
    assert done.returncode == 0, done.stderr
    assert done.jobs == planned
    assert "workflow/profiles/default" in done.stderr


def test_the_catalog_finds_its_files():
    """github.com/snakemake/snakemake-workflow-catalog, README and scripts/generate-catalog.py."""
    usage = yaml.safe_load((REPO / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert "Install the Python package first" in usage["mandatory-flags"]["desc"]
    # No rule has a separate environment, so none is promised.
    rules = "".join(path.read_text() for path in (REPO / "rules").glob("*.smk"))
    assert not re.search(r"^\s+(conda|container):", rules, re.M)
    assert not any(usage["software-stack-deployment"].values())
    assert (REPO / "config" / "README.md").read_text().startswith("# Configuration\n")
    readme = (REPO / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
