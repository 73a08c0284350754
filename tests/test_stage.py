import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from witw import files, stage
from witw.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from witw import files, stage

def main():
    with files.{context}(Path(sys.argv[1])) as part:
        ({inner}).write_text("half")
        print("ready", flush=True)
        time.sleep(60)

stage.execute(main)
"""
WRITERS = {"atomic": "part", "atomic_dir": "part / 'file'"}


def content(path):
    return path.read_text() if path.is_file() else {p.name: p.read_text() for p in path.iterdir()}


def fill(context, path, text):
    with getattr(files, context)(path) as part:
        (part if context == "atomic" else part / "file").write_text(text)


@pytest.mark.parametrize("context", WRITERS)
def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path, context):
    target = tmp_path / "out.txt"
    fill(context, target, "old")
    before = content(target)
    with pytest.raises(RuntimeError), getattr(files, context)(target) as part:
        (part if context == "atomic" else part / "file").write_text("half")
        raise RuntimeError
    assert content(target) == before
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("context", WRITERS)
def test_success_replaces_and_leaves_no_temporary_file(tmp_path, context):
    target = tmp_path / "deep" / "out.txt"
    fill(context, target, "old")
    fill(context, target, "new")
    assert content(target) in ("new", {"file": "new"})
    assert list(target.parent.iterdir()) == [target]


def interruptible():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("context", WRITERS)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_killed_stage_leaves_the_target_as_it_was(tmp_path, context, signum):
    target = tmp_path / "out.txt"
    fill(context, target, "old")
    before = content(target)
    code = HOLD.format(context=context, inner=WRITERS[context])
    command = [sys.executable, "-c", code, str(target)]
    # A test run started in the background ignores SIGINT, and so would its children.
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=interruptible) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signum)
        returncode = process.wait(120)
    assert content(target) == before
    if signum == signal.SIGKILL:  # nothing can be tidied up; leftovers are hidden and never used
        assert all(p == target or p.name.startswith(".") for p in tmp_path.iterdir())
    else:
        assert list(tmp_path.iterdir()) == [target]
        assert returncode == 128 + signum


def test_content_is_on_disk_before_the_name_and_the_name_before_returning(tmp_path, monkeypatch):
    events = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle):
        events.append(("fsync", Path(f"/proc/self/fd/{handle}").readlink()))
        real_fsync(handle)

    def replace(self, target):
        events.append(("rename", self))
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    with files.atomic(tmp_path / "out.tif") as part:
        part.write_text("whole")
        assert part.parent == tmp_path
        assert part.suffix == ".tif"
    assert events == [("fsync", part), ("rename", part), ("fsync", tmp_path)]


def test_the_file_has_the_permissions_of_an_ordinary_one(tmp_path):
    old = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.txt", "x")
        fill("atomic_dir", tmp_path / "b", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o750


def test_equal_values_give_equal_bytes(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": [1, 2.5], "a": "ö"})
    files.write_json(tmp_path / "b.json", {"a": "ö", "b": [1, 2.5]})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert files.read_json(tmp_path / "a.json") == {"a": "ö", "b": [1, 2.5]}


def test_nan_is_not_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_torn_file_is_reported_with_a_remedy(tmp_path):
    torn = tmp_path / "a.json"
    torn.write_text('{"a": ')
    with pytest.raises(UserError, match=r"a\.json is not readable JSON; delete it"):
        files.read_json(torn)


def test_arguments_parse_paths_and_make_the_output_folders(tmp_path):
    out = tmp_path / "new" / "out.parquet"
    argv = ["--spec", '{"stage":"chips"}', "--threads", "3"]
    argv += ["--tifs", "a.tif", "b.tif", "--table", str(out)]
    args = stage.arguments("chips", "Text.", ["tifs"], ["table"], ["tifs"], argv=argv)
    assert args.tifs == [Path("a.tif"), Path("b.tif")]
    assert (args.threads, args.table, args.spec) == (3, out, {"stage": "chips"})
    assert out.parent.is_dir()
    assert not out.exists()


def test_a_users_mistake_is_one_line_and_exit_code_1(capsys):
    def main():
        raise UserError("Area 'oslo': put it right.")

    with pytest.raises(SystemExit) as caught:
        stage.execute(main)
    assert caught.value.code == 1
    assert capsys.readouterr().err == "witw: Area 'oslo': put it right.\n"


def test_a_bar_that_is_not_on_a_terminal_writes_lines(capfd):
    bar = stage.bar("count", total=3)
    bar.mininterval = 0
    for _ in range(3):
        bar.update()
        bar.refresh()
    bar.close()
    lines = capfd.readouterr().err.split("\n")
    assert "\r" not in "".join(lines)
    assert all(line.startswith("count:") for line in lines[:-1])
    assert lines[-1] == "" and "3/3" in lines[-2]
