"""Commands whose output nobody reads to its end."""

import os
import subprocess
import sys

import pytest

WITW = (sys.executable, "-m", "witw")


def unread(args, folder, *, both):
    """Run a command whose output goes into a pipe without a reader."""
    end, start = os.pipe()
    os.close(end)
    try:
        return subprocess.run(
            [*WITW, *args],
            cwd=folder,
            stdout=start,
            stderr=start if both else subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(start)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["snakefile"], 141),
        (["forget", "77"], 141),
        (["-h"], 0),  # argparse expects it
        (["--version"], 0),
    ],
)
def test_a_closed_pipe_ends_a_command_without_a_word(tmp_path, args, code, both):
    (tmp_path / "results").mkdir()
    done = unread(args, tmp_path, both=both)
    assert (done.returncode, done.stderr or "") == (code, "")


def test_a_mistake_is_told_although_nobody_reads_the_output(tmp_path):
    done = unread(["status"], tmp_path, both=False)
    assert done.returncode == 1 and "has no record of a run" in done.stderr


def test_a_closed_output_is_no_error(tmp_path):
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *WITW, "snakefile"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
