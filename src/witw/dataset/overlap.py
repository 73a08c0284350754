"""Photos and owners in more than one split: splits are by place, not by photographer."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from witw.status import Status

SPLITS = ("test", "val", "train")  # priority of a photo in several splits


@dataclass(frozen=True)
class Overlap:
    """Overlap of the splits.

    Attributes:
        owners: number of owners with pairs.
        shared_owners: number of owners with pairs in more than one split.
        photos: number of paired photos, each counted once.
        shared_photos: number of photos paired in more than one split.
        repeated_photos: number of photos paired in more than one area of the same split.
        test_photos: number of photos paired in the split ``test``.
        test_photos_of_train_owners: number of photos of ``test`` by owners with pairs in ``train``.
    """

    owners: int
    shared_owners: int
    photos: int
    shared_photos: int
    repeated_photos: int
    test_photos: int
    test_photos_of_train_owners: int

    @property
    def sentence(self) -> str:
        """Describe the counts in words."""
        test = (
            f"; {self.test_photos_of_train_owners:,} of {self.test_photos:,} test photos are by "
            "people whose photos are trained on"
            if self.test_photos
            else ""
        )
        photos = (
            f"{self.shared_photos:,} of {self.photos:,} photos are listed in more than one split "
            "and used in one of them only"
            if self.shared_photos
            else "no photo is in more than one split"
        )
        return (
            f"{self.shared_owners:,} of {self.owners:,} people have photos in more than one split"
            f"{test}; {photos}."
        )


def exclude(pairs: pd.DataFrame, what: str) -> pd.Series[str]:
    """Return the status of each photo after excluding overlaps of splits.

    A photo or owner in several splits stays in the first of :data:`SPLITS`, so training uses
    nothing of the test.

    Args:
        pairs: table ``pairs`` of all AOIs, with the current splits.
        what: ``keep`` (exclude nothing), ``photos``, or ``owners`` (with all their photos).

    Returns:
        Column ``status``; earlier values ``shared`` are decided again.
    """
    found = pairs["status"].mask(pairs["status"] == Status.SHARED, Status.PAIRED.value)
    rank = pairs["split"].map({name: n for n, name in enumerate(SPLITS)}).astype("Float64")
    rank = rank.where(found == Status.PAIRED)
    for key in {"keep": (), "photos": ("id",), "owners": ("id", "owner")}[what]:
        first = rank.groupby(pairs[key]).transform("min")
        out = (rank > first).fillna(False).astype(bool)
        found, rank = found.mask(out, Status.SHARED.value), rank.mask(out)
    return found


def overlap(pairs: pd.DataFrame) -> Overlap:
    """Count the overlap of the splits.

    Args:
        pairs: table ``pairs`` of all AOIs; only pairs in areas with a split count.
    """
    paired = pairs[(pairs["status"] == Status.PAIRED) & pairs["split"].notna()]
    splits_of_owner = paired.groupby("owner")["split"].nunique()
    splits_of_photo = paired.groupby("id")["split"].nunique()
    repeated = paired.loc[paired.duplicated(["id", "split"]), "id"].nunique()
    test = paired[paired["split"] == "test"].drop_duplicates("id")
    trained = paired.loc[paired["split"] == "train", "owner"].dropna()
    return Overlap(
        owners=len(splits_of_owner),
        shared_owners=int((splits_of_owner > 1).sum()),
        photos=len(splits_of_photo),
        shared_photos=int((splits_of_photo > 1).sum()),
        repeated_photos=int(repeated),
        test_photos=len(test),
        test_photos_of_train_owners=int(test["owner"].isin(trained).sum()),
    )
