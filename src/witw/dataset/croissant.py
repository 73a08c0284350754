"""Croissant 1.1 metadata with images and the geo extension.

https://docs.mlcommons.org/croissant/docs/croissant-spec.html, .../croissant-geo-spec.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from witw import tables

CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/geo/1.0"]
CITATION = (
    "@misc{witw, title = {witw: photos and the imagery around them}, author = {{The witw authors}},"
    " year = {%s}, note = {version %s}}"
)
# Kind of picture -> its files below the folder.
FILES = {"photo": "photos/*/*/*.jpg", "chip": "chips/*/*/*.jpg"}
_MEANING = {
    "photo": "Photos of all pairs, as their source served them.",
    "chip": "Squares of imagery centred on the photos' geotags, north up.",
}
# Terms of the standard's own JSON-LD context: those of its vocabulary that mean themselves ...
_TERMS = [
    "arrayShape",
    "citeAs",
    "column",
    "conformsTo",
    "containedIn",
    "equivalentProperty",
    "extract",
    "field",
    "fileObject",
    "fileProperty",
    "fileSet",
    "format",
    "includes",
    "isArray",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
]
# ... and those with a type.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "geocr": "http://mlcommons.org/croissant/geo/",
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
}
_TYPES = {"string": "sc:Text", "Float64": "sc:Float", "boolean": "sc:Boolean"}
_ADDRESSES = ("url", "license_url")


@dataclass(frozen=True)
class DataFile:
    """One file of the data set, with its description."""

    name: str
    description: str
    encoding: str
    size: int  # bytes
    sha256: str


def croissant(
    files: Sequence[DataFile],
    description: str,
    licenses: Sequence[str],
    snapshot: str,
    areas: Mapping[str, Mapping[str, Any]],
    taken: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Return the Croissant JSON-LD of the data set.

    Args:
        files: the first one is the table of pairs.
        description: description of the data set, a paragraph.
        licenses: addresses or names of the licences of photos and imagery.
        snapshot: ISO date and time of the search, which gives date and version.
        areas: ``city``, ``bbox_deg``, ``gsd_m``, ``chip_px`` of each AOI, from the config.
        taken: ISO dates of the first and the last photo, if known.
    """
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": "witw",
        "description": description,
        "license": list(licenses),
        "url": "README.md",
        "creator": {"@type": "sc:Organization", "name": "witw"},
        "datePublished": snapshot[:10],
        "version": edition(snapshot),
        "citeAs": citation(snapshot),
        "isLiveDataset": False,
        **_geo(areas),
        **({"temporalCoverage": "/".join(taken)} if taken else {}),
        "distribution": [*(_file(file) for file in files), *map(_file_set, FILES)],
        "recordSet": [_records(files[0].name), *(_pictures(kind, areas) for kind in FILES)],
    }


def edition(snapshot: str) -> str:
    """Return the version of the data set, from the date of its search."""
    return ".".join(str(int(part)) for part in snapshot[:10].split("-"))


def citation(snapshot: str) -> str:
    """Return the BibTeX entry of the data set."""
    return CITATION % (snapshot[:4], edition(snapshot))


def _geo(areas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Describe the areas' boxes (south, west, north, east) and the imagery's resolution."""
    places = []
    for _, area in sorted(areas.items()):
        west, south, east, north = area["bbox_deg"]
        box = f"{south} {west} {north} {east}"
        shape = {"@type": "sc:GeoShape", "box": box}
        places.append({"@type": "sc:Place", "name": area["city"], "geo": shape})
    sizes = sorted({float(area["gsd_m"]) for area in areas.values()})
    resolution: Any = {"@type": "sc:QuantitativeValue", "value": sizes[0], "unitText": "m"}
    if len(sizes) > 1:  # the standard allows one value or a text
        resolution = f"{sizes[0]:g} to {sizes[-1]:g} m"
    return {
        "spatialCoverage": places,
        "geocr:coordinateReferenceSystem": "EPSG:4326",
        "geocr:spatialResolution": resolution,
    }


def _file(file: DataFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "description": file.description,
        "contentUrl": file.name,
        "contentSize": f"{file.size} B",
        "encodingFormat": file.encoding,
        "sha256": file.sha256,
    }


def _file_set(kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{kind}-files",
        "name": f"{kind}-files",
        "description": _MEANING[kind],
        "encodingFormat": "image/jpeg",
        "includes": FILES[kind],
    }


def _pictures(kind: str, areas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the records of the pictures, by their path in the table.

    The table's paths are not `references`, because readers would open every picture to list rows.
    """
    path = _property(f"{kind}s/path", "sc:Text", "Path below the folder.", f"{kind}-files")
    path["source"]["extract"]["fileProperty"] = "fullpath"
    image = _property(f"{kind}s/image", "sc:ImageObject", _MEANING[kind], f"{kind}-files")
    sides = {int(area["chip_px"]) for area in areas.values()}
    if kind == "chip":
        image["geocr:bandConfiguration"] = {
            "@type": "geocr:BandConfiguration",
            "geocr:totalBands": 3,
            "geocr:bandNameList": ["Red", "Green", "Blue"],
        }
    if kind == "chip" and len(sides) == 1:
        side = sides.pop()
        image |= {"isArray": True, "arrayShape": f"{side},{side},3"}
    return {
        "@type": "cr:RecordSet",
        "@id": f"{kind}s",
        "name": f"{kind}s",
        "description": _MEANING[kind],
        "key": {"@id": f"{kind}s/path"},
        "field": [path, image],
    }


def _property(name: str, kind: str, meaning: str, source: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": name,
        "name": name.rpartition("/")[2],
        "description": meaning,
        "dataType": kind,
        "source": {"fileSet": {"@id": source}, "extract": {"fileProperty": "content"}},
    }


def _records(source: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "pairs",
        "name": "pairs",
        "description": "One row per listed photo.",
        "key": [{"@id": "pairs/aoi"}, {"@id": "pairs/id"}],
        "field": [_field(name, column, source) for name, column in tables.PAIRS.items()],
    }


def _field(name: str, column: tables.Column, source: str) -> dict[str, Any]:
    unit = f" [{column.unit}]" if column.unit else ""
    kind = "sc:URL" if name in _ADDRESSES else _TYPES.get(column.dtype, "sc:Integer")
    return {
        "@type": "cr:Field",
        "@id": f"pairs/{name}",
        "name": name,
        "description": column.meaning + unit,
        "dataType": kind,
        "source": {"fileObject": {"@id": source}, "extract": {"column": name}},
    }
