"""Section ``dataset``: exclusions and the contact address."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from witw.settings.base import Section


class Dataset(Section):
    """Exclusions from the data set, and its contact address."""

    shared: Literal["keep", "photos", "owners"] = Field(
        "keep",
        description=(
            "How to treat photos and owners that occur in several splits: `keep` (only "
            "the pack keeps each photo in a single split), `photos` (a photo stays only "
            "in the first of test, val and train), or `owners` (all photos of an owner "
            "stay only there). Excluded photos have the status `shared`."
        ),
    )
    contact: str = Field(
        "",
        description="Address for removal requests, shown in the data card.",
    )
