"""Cut one shard's chips, as the stage does: SPEC THREADS WANTED MOSAIC TIF CHIPS TABLE."""

import json
import sys
from pathlib import Path

import pandas as pd

from witw.imagery import chips

spec, threads, wanted, mosaic, tif, folder, table = sys.argv[1:]
chips.run(
    spec=json.loads(spec),
    wanted=pd.read_parquet(wanted),
    mosaic=Path(mosaic),
    tifs=[Path(tif)],
    chips=Path(folder),
    table=Path(table),
    threads=int(threads),
)
