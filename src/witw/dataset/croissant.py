"""Croissant 1.0 metadata (https://docs.mlcommons.org/croissant/docs/croissant-spec.html)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from witw import tables

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
# Terms of the standard's own JSON-LD context: those of its vocabulary that mean themselves ...
_TERMS = [
    "citeAs",
    "column",
    "conformsTo",
    "extract",
    "field",
    "fileObject",
    "fileProperty",
    "fileSet",
    "format",
    "includes",
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
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
_TYPES = {"string": "sc:Text", "Float64": "sc:Float", "boolean": "sc:Boolean"}
_ADDRESSES = ("url", "license_url")


@dataclass(frozen=True)
class DataFile:
    """One file of the data set, beside its description."""

    name: str
    description: str
    encoding: str
    size: int  # bytes
    sha256: str


def croissant(
    files: Sequence[DataFile], description: str, licenses: Sequence[str], snapshot: str
) -> dict[str, Any]:
    """Croissant JSON-LD of the data set.

    Args:
        files: the first one is the table of pairs.
        description: a paragraph.
        licenses: addresses or names of the licences of photos and imagery.
        snapshot: ISO date and time of the listing; it gives date and version.
    """
    year, month, day = snapshot[:10].split("-")
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
        "version": f"{int(year)}.{int(month)}.{int(day)}",
        "isLiveDataset": False,
        "distribution": [_file(file) for file in files],
        "recordSet": [_records(files[0].name)],
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


def _records(source: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "pairs",
        "name": "pairs",
        "description": "One row a listed photo.",
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
