"""An entry of ``strips``: a source raster, and its bands."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from witw.settings.base import NAME, FilePath, Section

Bands = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class Strip(Section):
    """One source raster of an area: anything GDAL reads."""

    path: FilePath = Field(
        description="File, `s3://` or `https://` address; with `*` it is a set of tiles that are "
        "read as one raster. `~` and `$NAME` are put in as a shell would."
    )
    name: str = Field("", description="Name in results/; default: made from the path.")
    bands: Bands | None = Field(
        None, description="Bands for red, green, blue, counted from 1; default: the area's."
    )
    nodata: float | Literal["auto", "none"] | None = Field(
        None, description="Default: the area's `nodata`."
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Accept a bare path, and name a strip after its file (a set of tiles: its folder)."""
        data = {"path": value} if isinstance(value, str) else value
        if isinstance(data, dict) and isinstance(data.get("path"), str) and not data.get("name"):
            path = PurePosixPath(data["path"])
            stem = path.parent.name if "*" in path.name else path.name.split(".")[0]
            data = {**data, "name": re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "strip"}
        return data

    @field_validator("path")
    @classmethod
    def _without_secrets(cls, value: str) -> str:
        # A path is told in logs, in error texts and in Snakemake's records.
        if re.search(r"://[^/]*@|[?&](X-Amz-|AWSAccessKeyId|Signature|sig|token)", value, re.I):
            raise ValueError(
                "credentials do not belong in a path: give them in the environment "
                "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3://, GDAL_HTTP_USERPWD or "
                "GDAL_HTTP_BEARER for https://)"
            )
        return value

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a name of lower-case letters, digits and _")
        return value
