"""The report as a person uses it: in a browser, by keyboard and screen reader, and on paper."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from made_report import AREAS, build

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".browser/bin/python"
# Names that are too long: one cannot be broken, one can.
LONG = {
    "paris": "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch",
    "rio": "Santiago de los Caballeros and everything around it",
}


@pytest.fixture(scope="module")
def chromium():
    """Return the path of Chromium; skip if it or its driver is not installed."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium: `apt-get install chromium`, then `make test`")
    if not PYTHON.exists():
        pytest.skip("nothing to drive Chromium by: `make test` installs it into .browser")
    return found


@pytest.fixture
def seen(folder, chromium):
    """Build the report with long names and inspect it."""
    build(areas={name: {**area, "city": LONG[name]} for name, area in AREAS.items()})
    command = [PYTHON, HERE / "browse.py", chromium, "results/report/report.html", "out.pdf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_report_is_accessible_on_every_medium(seen):
    assert [v for v in seen["violations"] if v["impact"] in ("serious", "critical")] == []
    # No wider than a phone, no network requests, nothing blocked.
    assert seen["widths"] == {"390": 390, "1280": 1280}
    assert seen["requests"] == []
    assert seen["console"] == []
    # On A4 nothing is cut off at the right.
    assert seen["clipped"] == []
    text = " ".join(" ".join(seen["text"]).split())
    assert "indoor off imagery blank paired" in text.replace("\ufb00", "ff")
    # Of either area: listed, gone, failed, corrupt, grey, indoor, off imagery, blank, paired.
    assert text.count(" 40 1 1 1 1 15 1 0 20 ") == 2
    # The grid's last column, 500 m: its head, and the figure of each number of cells.
    assert "250 m 500 m" in text
    for value in ("51.0", "55.0", "60.0", "99.0"):
        assert f" {value} " in text
    assert "100 m 250 m 500 m" in text
    assert len(seen["text"]) <= 8  # pages
