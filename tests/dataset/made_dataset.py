"""A data set of few made rows, and its files as the stage writes them."""

from witw import tables
from witw.dataset import dataset

AREA = {
    "bbox_deg": [2.0, 48.0, 2.5, 49.0],
    "satellite": "WorldView-3",
    "imagery_license": "CC BY-SA 4.0",
    "snapshot": "2026-11-01T00:00:00Z",
    "gsd_m": 0.3,
    "chip_px": 750,
}
AREAS = {
    "paris": {**AREA, "city": "Paris", "split": "test"},
    "rio": {**AREA, "city": "Rio | de <b>Janeiro", "split": "train"},
    "empty": {**AREA, "city": "Nowhere", "split": "val", "imagery_license": ""},
}
MADE = {"stages": {"chips": 3}, "config": {"chips": {"size_px": 750}}, "areas": {}}
SPEC = {"stage": "dataset", "version": 1, "areas": AREAS, "dataset": {"shared": "keep"}}
SPEC["made"] = MADE
PARIS = ["paired", "paired", "gone", "indoor", "blank"]
RIO = ["paired", "off_imagery", "grey", "corrupt", "failed"]
NAMES = ["pairs.parquet", "funnel.csv", "licenses.csv", "CREDITS.csv", "README.md"]
NAMES += ["croissant.json", "ids.csv", "provenance.json", "example.jpg", "photos", "chips"]
FILES = NAMES[:-2]


def rows(aoi, statuses):
    base = dict.fromkeys(tables.PAIRS)
    return [
        {
            **base,
            "id": str(100 + n),
            "aoi": aoi,
            "city": AREAS[aoi]["city"],
            "split": AREAS[aoi]["split"],
            "lat": 48.5,
            "lon": 2.1,
            "owner": f"{n % 2}@N0",
            "license_id": 4 + n % 2,
            "license": ["CC BY 2.0", "CC BY-SA 2.0"][n % 2],
            "license_url": ["https://by.example/", "https://by-sa.example/"][n % 2],
            "date_taken": f"20{10 + n}-05-01 12:00:00",
            "status": status,
        }
        for n, status in enumerate(statuses)
    ]


def build(inputs, folder):
    dataset.run(SPEC, inputs, *(folder / name for name in NAMES))
    return folder
