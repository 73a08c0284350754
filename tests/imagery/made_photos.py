"""Table `photos` for tests in which only positions matter."""

import pandas as pd

from witw import tables


def write_photos(path, photos):
    """Write photos from `id`, `lon` and `lat`; the other columns stay blank."""
    rows = photos.copy()
    for name, column in tables.TABLES["photos"].items():
        if name not in rows:
            blank = {"string": "", "boolean": False, "bool": False}.get(column.dtype, 0)
            rows[name] = pd.Timestamp(0, tz="UTC") if "date" in column.dtype else blank
    path.parent.mkdir(parents=True, exist_ok=True)
    tables.write(path, "photos", rows)
