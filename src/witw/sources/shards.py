"""Divide photo ids into fixed shards."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from witw import stage, tables
from witw.errors import UserError

VERSION = 2
READS = ("shards",)


def shard_of(photo_id: str, count: int) -> int:
    """Return the shard of a photo: SHA-1 of its id, as a number, modulo the number of shards.

    The shard depends on nothing else, so it stays the same as the search grows.
    """
    return int(hashlib.sha1(photo_id.encode(), usedforsecurity=False).hexdigest(), 16) % count


def run(photos: Path, ids: Sequence[Path]) -> None:
    """Write one table ``ids`` per shard.

    Args:
        photos: Table ``photos``; ``unusable`` rows go into no shard.
        ids: Output files of the shards, in order; an empty shard is an empty table.
    """
    listed = tables.read(photos, "photos")
    listed = listed[listed["unusable"].fillna("") == ""]
    shards = listed["id"].map(lambda photo_id: shard_of(photo_id, len(ids)))
    for number, path in enumerate(ids):
        tables.write(path, "ids", listed[shards == number])


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    args = stage.arguments("shards", __doc__, inputs=["photos", "ids"], many=["ids"], argv=argv)
    count = args.spec["shards"]
    if len(args.ids) != count:
        raise UserError(f"--ids names {len(args.ids)} files, but `shards` is {count}.")
    run(args.photos, args.ids)


if __name__ == "__main__":
    stage.execute(main)
