"""What the sections of ``config.yaml`` are made of."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A group of keys; an unknown key is an error."""

    # Built when first used: a job uses one or two of them.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
