"""The Croissant description says what is there, and its own reader has nothing to add."""

import hashlib
import io
import json

import pandas as pd
from PIL import Image

from tests.dataset.made_dataset import AREAS, FILES, build
from tests.dataset.readers import read_with
from witw import tables


def test_croissant_describes_the_files(inputs, tmp_path):
    out = build(inputs, tmp_path / "d")
    data = json.loads((out / "croissant.json").read_text())
    assert data["@type"] == "sc:Dataset"
    assert data["conformsTo"] == [
        "http://mlcommons.org/croissant/1.1",
        "http://mlcommons.org/croissant/geo/1.0",
    ]
    assert data["datePublished"] == "2026-11-01"
    assert data["license"] == ["https://by-sa.example/", "https://by.example/", "CC BY-SA 4.0"]
    alone = [file for file in data["distribution"] if file["@type"] == "cr:FileObject"]
    assert {file["@id"] for file in alone} == set(FILES) - {"README.md", "croissant.json"}
    for file in alone:
        content = (out / file["contentUrl"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["contentSize"] == f"{len(content)} B"
    fields = {field["name"]: field for field in data["recordSet"][0]["field"]}
    assert list(fields) == list(tables.PAIRS)
    assert fields["lat"]["dataType"] == "sc:Float"
    assert fields["epsg"]["dataType"] == "sc:Integer"
    assert fields["title"]["dataType"] == "sc:Text"
    written = pd.read_parquet(out / "pairs.parquet").columns
    ids = {file["@id"] for file in data["distribution"]}
    for field in fields.values():
        assert field["source"]["fileObject"]["@id"] in ids
        assert field["source"]["extract"]["column"] in written
    keys = {key["@id"] for key in data["recordSet"][0]["key"]}
    assert keys <= {field["@id"] for field in fields.values()}


def test_croissant_states_places_and_times(inputs, tmp_path, monkeypatch):
    data = json.loads((build(inputs, tmp_path / "d") / "croissant.json").read_text())
    places = {place["name"]: place["geo"]["box"] for place in data["spatialCoverage"]}
    assert places["Paris"] == "48.0 2.0 49.0 2.5"  # south, west, north, east
    assert len(places) == 3
    # Paired are the photos of 2010 and 2011.
    assert data["temporalCoverage"] == "2010-05-01/2011-05-01"
    assert data["geocr:coordinateReferenceSystem"] == "EPSG:4326"
    assert data["geocr:spatialResolution"]["value"] == 0.3
    assert "version 2026.11.1" in data["citeAs"]
    monkeypatch.setitem(AREAS, "paris", AREAS["paris"] | {"gsd_m": 0.5})
    data = json.loads((build(inputs, tmp_path / "e") / "croissant.json").read_text())
    assert data["geocr:spatialResolution"] == "0.3 to 0.5 m"


def test_croissant_finds_every_picture(pictures):
    out = build([pictures / "paris.parquet"], pictures / "results" / "dataset")
    data = json.loads((out / "croissant.json").read_text())
    sets = {file["@id"]: file for file in data["distribution"] if file["@type"] == "cr:FileSet"}
    table = tables.read(out / "pairs.parquet", "pairs")
    for kind in ("photo", "chip"):
        found = {str(path.relative_to(out)) for path in out.glob(sets[f"{kind}-files"]["includes"])}
        assert found == set(table[f"{kind}_path"].dropna())
        record = next(one for one in data["recordSet"] if one["@id"] == f"{kind}s")
        path, image = record["field"]
        assert record["key"] == {"@id": path["@id"]}
        assert path["source"]["extract"] == {"fileProperty": "fullpath"}
        assert image["dataType"] == "sc:ImageObject"
        assert image["source"]["fileSet"] == {"@id": f"{kind}-files"}
    assert image["arrayShape"] == "750,750,3"
    assert image["geocr:bandConfiguration"]["geocr:totalBands"] == 3


def test_its_own_reader_finds_no_error_no_warning_and_every_record(pictures):
    out = build([pictures / "paris.parquet"], pictures / "results" / "dataset")
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(picture, "JPEG")
    for path in (*out.glob("photos/*/*/*.jpg"), *out.glob("chips/*/*/*.jpg")):
        path.unlink()  # a link to the store's
        path.write_bytes(picture.getvalue())
    code = """
import json, sys
import mlcroissant
data = mlcroissant.Dataset(jsonld=sys.argv[1])
issues = data.metadata.ctx.issues
pairs = [[r["pairs/id"].decode(), r["pairs/lat"]] for r in data.records("pairs")]
photos = [[r["photos/path"].decode(), r["photos/image"].size] for r in data.records("photos")]
print(json.dumps([sorted(issues.errors), sorted(issues.warnings), pairs, photos]))
"""
    errors, warnings, pairs, photos = read_with(code, out / "croissant.json", pictures)
    assert (errors, warnings) == ([], [])
    assert pairs == [["100", 48.5], ["101", 48.5], ["102", 48.5]]
    table = tables.read(out / "pairs.parquet", "pairs")
    assert sorted(photos) == [[path, [40, 30]] for path in table["photo_path"].dropna()]
