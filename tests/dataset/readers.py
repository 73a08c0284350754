"""The environment of what reads the exports."""

import json
import os
import subprocess
from pathlib import Path

import pytest

# A separate environment, like .s3: the libraries are heavy and no stage needs them.
READERS = Path(os.environ.get("WITW_READERS", Path(__file__).parents[2] / ".readers/bin/python"))


def read_with(code, *args):
    """Return the JSON output of a program in the readers' environment."""
    if not READERS.is_file():
        pytest.skip("what reads the exports is not here: `make test` installs them into .readers")
    done = subprocess.run(
        [READERS, "-c", code, *map(str, args)],
        capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "HOME": str(args[-1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
