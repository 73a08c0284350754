"""docs/pairs.ipynb, with its cells run in order on the demo's results."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


def test_the_notebook_loads_the_data_set_and_draws_pairs(tmp_path):
    """Runs without a kernel: the cells contain only Python."""
    demo = os.environ.get("WITW_DEMO_DIR")
    if not demo:
        pytest.skip("WITW_DEMO_DIR does not name a finished demo (`make demo` makes demo-run)")
    notebook = nbformat.read(ROOT / "docs" / "pairs.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not [cell for cell in notebook.cells if cell.get("outputs")]
    for name in ("results", "photos"):
        (tmp_path / name).symlink_to(Path(demo).resolve() / name)
    script = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path, env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "photos listed in" in done.stdout
    for name in ("pairs.png", "places.png"):
        colors = Image.open(tmp_path / name).convert("RGB").getcolors(maxcolors=1 << 24)
        assert len(colors) > 50  # something is drawn
