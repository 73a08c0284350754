"""Photos and people that stand in more than one split: splits are by place, not by photographer."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from witw.status import Status

SPLITS = ("test", "val", "train")  # what stands in several belongs to the first of them


@dataclass(frozen=True)
class Overlap:
    """What the splits of the pairs have in common.

    Attributes:
        owners: People with pairs.
        shared_owners: People with pairs in more than one split.
        photos: Paired photos, each counted once.
        shared_photos: Photos paired in more than one split.
        repeated_photos: Photos paired in more than one area of the same split.
        test_photos: Photos paired in the split ``test``.
        test_photos_of_train_owners: Photos of ``test`` by people who have pairs in ``train``, too.
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
        """The counts in words."""
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
    """Status of each photo once what stands in several splits is left out of all but one.

    It stays in the first of :data:`SPLITS` that has it, so that nothing of the test is learnt from.

    Args:
        pairs: table ``pairs`` of all AOIs, with the splits that count.
        what: ``keep`` (nothing is left out), ``photos``, or ``owners`` (their photos too).

    Returns:
        Column ``status``; where it was ``shared``, that is settled anew.
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
    """Count what the splits have in common.

    Args:
        pairs: table ``pairs`` of all AOIs; only what is paired, in an area with a split, counts.
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
