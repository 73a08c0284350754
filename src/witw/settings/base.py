"""Base class and shared types of the config sections."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
)

# Kinds of photo sources, and the kinds that are local files or folders: inputs of the search.
KINDS = ("flickr", "table", "folder", "yfcc100m", "ids", "mapillary")
LOCAL_KINDS = ("table", "folder", "yfcc100m", "ids")
NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,99}")  # files add to it, and may have 255 characters
Share = Annotated[float, Field(ge=0, le=1)]


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _iso(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


# A moment in UTC, the default time zone; ``2026-11-01T00:00:00Z`` in a spec.
Moment = Annotated[datetime, AfterValidator(_utc), PlainSerializer(_iso, return_type=str)]
# Integers from 0, sorted and unique, so that reordering them in the config reruns nothing.
Numbers = Annotated[list[Annotated[int, Field(ge=0)]], AfterValidator(lambda v: sorted(set(v)))]


def as_the_shell(path: str) -> str:
    """Expand `~` and `$NAME` in a local path as a shell would; unknown names stay."""
    return path if "://" in path else os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111


FilePath = Annotated[str, AfterValidator(as_the_shell)]


def _kinds(annotation: Any) -> set[Any]:
    """Return a type and all types inside it."""
    return {annotation}.union(*map(_kinds, get_args(annotation)))


class Section(BaseModel):
    """A group of keys; an unknown key is an error."""

    # Models are built on first use, because a job uses only one or two.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `yes` and `no` for a number, which pydantic reads as 1 and 0."""
        if isinstance(value, bool):
            kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
            if kinds & {int, float} and bool not in kinds:
                raise ValueError(f"it is {str(value).lower()}, and must be a number")
        return value
