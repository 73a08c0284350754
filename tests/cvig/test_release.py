"""The released model file contains all known facts, and the card repeats them."""

import json

import pandas as pd
import pytest
import torch

from witw import files, model_facts, tables
from witw.cvig import release
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.model import Model
from witw.cvig.network.towers import Network
from witw.errors import UserError
from witw.locating.model_card import card
from witw.settings.train import Train

AREA = {
    "city": "Oslo", "split": "train", "bbox_deg": [10, 59, 11, 60], "satellite": "WorldView-3",
    "imagery_license": "CC BY-SA 4.0", "snapshot": "2026-11-01T00:00:00Z", "gsd_m": 0.3,
    "chip_px": 750,
}  # fmt: skip
AREAS = {
    "oslo": AREA,
    "bern": AREA | {"city": "Bern", "split": "val"},
    "lima": AREA | {"city": "Lima", "split": "test"},
}
EVALUATION = {
    "calibration": {
        "temperature": 0.0421, "sigma_m": 33.0, "fitted_on": ["bern"],
        "test": {"n": 90, "coverage_50": 52.1, "coverage_80": 78.9, "coverage_95": 94.0},
    },
    "protocols": {
        "grid": {
            "n": 90, "recall_at_1_within_50m": 12.3, "median_area_pct": 6.5,
            "interval": {"recall_at_1_within_50m": [9.1, 15.2], "median_area_pct": [5.0, 8.1]},
            "chance": {"recall_at_1_within_50m": 0.9, "median_area_pct": 50.0},
            "curve": {"area_pct": list(range(1000))},
        }
    },
    "heading": {"n": 3, "histogram": {"photos": [1, 2]}},
    "presence": None,
}  # fmt: skip
SPEC = {"areas": AREAS, "train": Train(epochs=7).model_dump(mode="json")}


def pairs(folder, licence="Attribution License"):
    rows = []
    for n, (aoi, area) in enumerate(AREAS.items()):
        for k in range(3 + n):
            rows.append(
                dict.fromkeys(tables.PAIRS)
                | {"id": f"{n}{k}", "aoi": aoi, "split": area["split"], "owner": f"o{k % 2}"}
                | {"status": "paired" if k else "indoor", "license": licence, "lon": 1, "lat": 1}
            )
    tables.write_geo(folder / "pairs.parquet", "pairs", rows)
    return folder / "pairs.parquet"


@pytest.fixture
def inputs(tmp_path):
    torch.manual_seed(1)
    settings = Train(width=16, blocks=1, embed_dim=32, headings=16, polar_rows=16)
    network = Network(Architecture.of(settings, 225.0, 32, 24)).eval()
    Model(network, 0.1, 3, {"recall_at_1": 5.0}).save(tmp_path / "trained.safetensors")
    files.write_json(tmp_path / "metrics.json", files.seal(EVALUATION))
    return tmp_path / "trained.safetensors", tmp_path / "metrics.json", pairs(tmp_path)


def test_the_file_contains_all_known_facts(inputs, tmp_path):
    out = tmp_path / "witw.safetensors"
    release.run(SPEC, *inputs, out)
    facts = model_facts.read_facts(out)
    assert facts["calibration"] == EVALUATION["calibration"]
    grid = facts["figures"]["protocols"]["grid"]
    assert grid["interval"]["recall_at_1_within_50m"] == [9.1, 15.2]
    assert "curve" not in grid
    assert facts["areas"]["oslo"]["pairs"] == 2
    assert facts["areas"]["lima"]["pairs"] == 4
    assert facts["areas"]["oslo"]["photographers"] == 2
    assert facts["settings"]["epochs"] == 7
    assert set(facts["versions"]) >= {"witw", "torch", "timm"}
    # Test photos had no influence on the model.
    assert facts["licences"]["photos"] == {"Attribution License": 5}
    assert facts["licences"]["imagery"] == {"CC BY-SA 4.0": ["bern", "oslo"]}
    one, two = (Model.load(path, torch.device("cpu")) for path in (inputs[0], out))
    chips = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        codes = [model.network.encode_chips(chips) for model in (one, two)]
    assert all(map(torch.equal, *codes))
    assert (two.temperature, two.epoch, two.val) == (0.1, 3, {"recall_at_1": 5.0})


def test_a_second_run_gives_the_same_bytes(inputs, tmp_path):
    bodies = []
    for name in ("a", "b"):
        release.run(SPEC, *inputs, tmp_path / name)
        bodies.append((tmp_path / name).read_bytes())
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("licence", "weights"),
    [
        ("Attribution License", "CC-BY-SA-4.0"),
        ("Attribution-NonCommercial License", "CC-BY-NC-SA-4.0"),
        ("CC BY-NC 2.0", "CC-BY-NC-SA-4.0"),
    ],
)
def test_the_strictest_licence_applies(licence, weights):
    rows = pd.DataFrame({"license": [licence, "CC0 1.0"]})
    assert release.licences(AREAS, rows)["weights"] == weights


def test_synthetic_cities_are_free():
    made = {name: area | {"satellite": "made"} for name, area in AREAS.items()}
    rows = pd.DataFrame({"license": ["Attribution-NonCommercial License"]})
    assert release.licences(made, rows)["weights"] == "CC0-1.0"


def test_the_card_repeats_the_files_facts(inputs, tmp_path):
    release.run(SPEC, *inputs, tmp_path / "witw.safetensors")
    text = card(model_facts.read_facts(tmp_path / "witw.safetensors"), "someone/city-finder")
    assert text.startswith("---\nlicense: cc-by-sa-4.0\n")
    assert "hf://someone/city-finder" in text
    assert "| Best place within 50 m | 12.3 % | 9.1 to 15.2 | 0.9 % |" in text
    assert "| Oslo | training | 2 | 2 | WorldView-3 | CC BY-SA 4.0 | 2026-11-01 |" in text
    assert "the 80 % region held the geotag of 78.9 %" in text
    assert "Attribution License: 5" in text
    assert "Synthetic" not in text


def test_a_file_that_is_not_an_evaluation_is_reported(inputs, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"model": {}}))
    with pytest.raises(UserError, match=r"metrics.json is not an evaluation"):
        release.run(SPEC, *inputs, tmp_path / "witw.safetensors")
