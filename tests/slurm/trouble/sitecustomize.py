"""Inject faults into the jobs of a run: through PYTHONPATH, every Python imports this file first.

WITW_TROUBLE names a folder of marks: each fault happens once, and leaves an empty file named after
its stage.
"""

import os
import sys
import time
from pathlib import Path

HOLDS_MB = 2300
words = " ".join(sys.orig_argv)
marks = Path(os.environ["WITW_TROUBLE"])

for stage in ("witw.imagery.utm", "witw.sources.download"):
    if f"-m {stage} " in words and not (marks / stage).exists():
        (marks / stage).touch()
        time.sleep(600)

# More than the rule requests at first, less than it requests the second time.
if "-m witw.imagery.chips " in words and "/chips/0000.parquet" in words:
    held = bytearray(b"x") * (HOLDS_MB * 1_000_000)
    time.sleep(8)
    del held
