"""A config with `model:` plans imagery and indexes alone, needs no key, and trains nothing."""

import pytest
import torch
import yaml

from made_town import REPO, TWO_CITIES, Town, lay
from witw.__main__ import run
from witw.cvig.network import model_file
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.model import Model
from witw.cvig.network.towers import Network
from witw.settings.train import Train

pytestmark = pytest.mark.workflow

AREAS = ("oslo", "bern", "lima")
IMAGERY = ("stats", "stretch", "rgb8", "utm", "mosaic", "index")
PLANNED = {f"{stage}:{area}" for stage in IMAGERY for area in AREAS}


@pytest.fixture
def given(workplace):
    """Return a workplace whose config names a model's file."""
    path = workplace.folder / "models" / "witw.safetensors"
    model_file.write(path, {"a": torch.zeros(3)}, {"architecture": {}})

    def change(config):
        config["model"] = "models/witw.safetensors"

    workplace.configure(change)
    return workplace


def test_nothing_is_searched_or_trained_and_no_key_is_asked_for(given):
    done = given.snakemake("-n", "--no-hooks", key=None)
    assert done.returncode == 0, done.stderr
    assert done.jobs == PLANNED
    assert "The network is models/witw.safetensors: the run prepares" in done.stderr


def test_the_given_file_is_read_and_never_written(given):
    path = given.folder / "models" / "witw.safetensors"
    before = path.read_bytes(), path.stat().st_mtime_ns
    done = given.snakemake("--cores", 2, "--no-hooks", key=None)
    assert done.returncode == 0, done.stderr
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert sorted(p.name for p in (given.folder / "results/index").glob("*.safetensors")) == [
        "bern.safetensors", "lima.safetensors", "oslo.safetensors"
    ]  # fmt: skip
    assert not (given.folder / "results/model").exists()
    assert given.snakemake("-n", "--no-hooks", key=None).jobs == set()


@pytest.mark.long
def test_another_model_indexes_anew(given):
    assert given.snakemake("--cores", 2, "--no-hooks", key=None).returncode == 0
    path = given.folder / "models" / "witw.safetensors"
    model_file.write(path, {"a": torch.ones(4)}, {"architecture": {}})
    planned = given.snakemake("-n", "--no-hooks", key=None).jobs
    assert planned == {f"index:{area}" for area in AREAS}


def test_a_model_by_address_is_fetched_first(given):
    given.configure(lambda config: config.update(model="hf://someone/city-finder@v1"))
    done = given.snakemake("-n", "--no-hooks", key=None)
    assert done.jobs == PLANNED | {"fetch_model"}


def test_mistakes_are_reported_before_the_plan(given):
    def told(value):
        given.configure(lambda config: config.update(model=value))
        done = given.snakemake("-n", "--no-hooks", key=None)
        assert done.returncode != 0
        assert "Traceback" not in done.text
        (line,) = done.complaints
        return line

    assert "`model` absent.safetensors does not exist" in told("absent.safetensors")
    (given.folder / "bad.safetensors").write_bytes(b"no model, but long enough for one")
    assert "bad.safetensors is not a model of witw" in told("bad.safetensors")
    (given.folder / "results").mkdir()
    assert "is in results/, which the workflow writes" in told("results/witw.safetensors")


@pytest.mark.long
def test_a_real_city_works_with_a_foreign_model(tmp_path_factory, free_port, capsys):
    """Real stages and no service: the areas are indexed, and a photo gets an answer."""
    folder = tmp_path_factory.mktemp("given") / "run"
    lay(tmp_path_factory, folder, free_port, TWO_CITIES)
    settings = Train(width=16, blocks=1, embed_dim=32, headings=16, polar_rows=16)
    network = Network(Architecture.of(settings, 225.0, 96, 64)).eval()
    Model(network, 0.1, 1, {}).save(folder / "models/witw.safetensors")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["model"] = "models/witw.safetensors"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    Town(folder).finish(targets=(), env={"FLICKR_API_KEY": ""})
    assert not list(folder.glob("photos/*"))
    assert (REPO / "Snakefile").is_file()
    area = next(iter(config["aois"]))
    photo = next((folder / "world/pictures").glob("*.jpg"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(["locate", str(photo), "--area", area])
    assert f"{photo.name}, in {area.title()}: " in capsys.readouterr().out
