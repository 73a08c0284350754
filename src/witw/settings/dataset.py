"""Section ``dataset``: what the data set leaves out, and whom to write to."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from witw.settings.base import Section


class Dataset(Section):
    """What the data set leaves out, and whom to write to."""

    shared: Literal["keep", "photos", "owners"] = Field(
        "keep",
        description="What stands in more than one split: `keep` (the pack still takes a photo into "
        "one split only), `photos` (only in the first of test, val and train), or `owners` (all "
        "photos of a person only there). What is left out has the status `shared`.",
    )
    contact: str = Field(
        "",
        description="Address for requests to remove a photo: the data card names it.",
    )
