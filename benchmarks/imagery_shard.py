"""Cut one shard's chips, as the stage does: SPEC WANTED.parquet MOSAIC TIF CHIPS TABLE."""

import inspect
import json
import sys
from pathlib import Path

import pandas as pd

from witw.imagery import chips

spec, wanted, mosaic, tif, folder, table = sys.argv[1:]
args = (json.loads(spec), pd.read_parquet(wanted), Path(mosaic), [Path(tif)])
assert list(inspect.signature(chips.run).parameters)[:6] == [
    "spec", "wanted", "mosaic", "tifs", "chips", "table"
]  # fmt: skip
chips.run(*args, Path(folder), Path(table))
