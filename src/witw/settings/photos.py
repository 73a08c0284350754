"""Key ``photos``: the sources of an area's photos."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from witw.settings.base import KINDS, NAME, FilePath, Section

MAPILLARY = "https://graph.mapillary.com"
_FORM = (
    "give one of `flickr`, `mapillary`, `{folder: my/photos}`, `{table: mine.csv}`, "
    "`{yfcc100m: yfcc100m_dataset.bz2}`, `{ids: ids.csv}`, or a list of them"
)


class PhotoSource(Section):
    """A source of photos: exactly one of the keys `flickr` to `mapillary`, and its options."""

    flickr: Literal[True] | None = Field(
        None,
        description="Flickr's API (key `FLICKR_API_KEY`); the short form is `photos: flickr`.",
    )
    table: FilePath | None = Field(
        None,
        description=(
            "CSV, Parquet or GeoPackage file with `lat` and `lon` (or a geometry), and "
            "`path` or `url` of each photo. Optional columns: `id`, `license`, "
            "`license_url`, `owner`, `title`, `page`, `time`, `heading`, `accuracy`."
        ),
    )
    folder: FilePath | None = Field(
        None,
        description=(
            "Folder of JPEG, HEIC, PNG or TIFF files with positions in their EXIF data. "
            "Subfolders are included."
        ),
    )
    yfcc100m: FilePath | None = Field(
        None,
        description=(
            "Metadata of YFCC100M: its table of 23 or 25 tab-separated columns, plain or "
            "as .bz2 (`*` for its parts), or its SQLite file."
        ),
    )
    ids: FilePath | None = Field(
        None,
        description="A list `ids.csv` written by `dataset`, to rebuild the same set of photos.",
    )
    mapillary: str | None = Field(
        None,
        description=(
            "Address of Mapillary's API (token `MAPILLARY_TOKEN`); the short form "
            f"`photos: mapillary` uses {MAPILLARY}."
        ),
    )
    name: str = Field(
        "",
        description=(
            "Prefix of the photos' ids, which keeps the ids of several sources apart; "
            "default: the kind. Not available for `flickr`, `yfcc100m` and `ids`, which "
            "keep their own ids."
        ),
    )
    license: str = Field(
        "", description="Licence of photos without one of their own, such as `CC BY 4.0`."
    )
    owner: str = Field("", description="Credit for photos without an owner of their own.")
    root: FilePath = Field(
        "",
        description=(
            "Folder to which paths in a table or list are relative; default: the "
            "folder of the file."
        ),
    )
    columns: dict[str, str] = Field(
        {}, description="Names of a table's columns if they differ, such as `lat: y_wgs84`."
    )
    hosts: list[str] | None = Field(
        None,
        description=(
            "Hosts to which addresses in a table may lead, in the form of "
            "`flickr.photo_hosts`; default: every public host, by https."
        ),
    )

    @property
    def kind(self) -> str:
        """The kind of the source, one of :data:`KINDS`."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def path(self) -> str:
        """The file, folder or address of the source; '' for Flickr."""
        value = getattr(self, self.kind)
        return value if isinstance(value, str) else ""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Accept a bare `flickr` or `mapillary`."""
        bare = {"flickr": {"flickr": True}, "mapillary": {"mapillary": MAPILLARY}}
        if isinstance(value, str):
            if value not in bare:
                raise ValueError(f"it is {value!r}: {_FORM}")
            return bare[value]
        if isinstance(value, dict):
            chosen = [kind for kind in KINDS if value.get(kind) is not None]
            if len(chosen) != 1 and not set(value) - set(cls.model_fields):
                told = " and ".join(f"`{kind}`" for kind in chosen) or "none of the sources"
                raise ValueError(f"it names {told}: {_FORM}")
        return value

    @model_validator(mode="after")
    def _plain_name(self) -> PhotoSource:
        if self.name and not NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} must consist of lower-case letters, digits and _")
        if self.name in ("forgotten", *set(KINDS) - {self.kind}):
            raise ValueError(f"name {self.name!r} is reserved; choose another one")
        return self

    @field_validator("mapillary")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/\s@?]+", value):
            raise ValueError(f"{value!r} is not an http(s) address")
        return value.rstrip("/") if value else value


def as_list(value: Any) -> Any:
    """Accept a single source instead of a list."""
    return value if isinstance(value, list) else [value]


def check_apart(sources: list[PhotoSource]) -> list[PhotoSource]:
    """Reject two sources whose photos could not be told apart.

    Raises:
        ValueError: Two sources have the same name.
    """
    names = [source.name or source.kind for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two sources are named {twice[0]!r}; give each its own `name`")
    return sources
