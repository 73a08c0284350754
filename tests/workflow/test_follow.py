"""A run as users follow it: few lines, a screen, `witw status`, `witw diff`."""

import json
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from workplace import KEY, REPO, STUB

pytestmark = pytest.mark.workflow

# Training waits for a file while a test inspects the run.
WAITING = STUB.replace(
    "for path; do\n",
    'case "$*" in *witw.cvig.train*) echo "train: 10%|# | 1/10 [00:01<00:09, 1step/s]" >&2\n'
    "    while ! test -e go; do sleep 0.1; done ;; esac\nfor path; do\n",
    1,
)
FAILING = STUB.replace(
    "for path; do\n",
    'case "$*" in *witw.sources.search*lima*)\n'
    "    echo \"witw: Area 'lima': the key is refused.\" >&2; exit 1 ;; esac\nfor path; do\n",
    1,
)


def witw(place, *args):
    """Return a command's output and its processor time, because others share the machine."""
    began = spent()
    done = subprocess.run(
        [sys.executable, "-m", "witw", *args],
        cwd=place.folder, env=place.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done, spent() - began


def spent():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def status(place):
    done, _ = witw(place, "status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def started(place, *args, **kwargs):
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile")]
    return subprocess.Popen(
        [*command, "--cores", "2", "--no-hooks", *args],
        cwd=place.folder, env=place.environment(), start_new_session=True, **kwargs,
    )  # fmt: skip


def wait_for_training(place):
    record = place.folder / ".snakemake/witw/run.jsonl"
    for _ in range(6000):
        if record.is_file() and '"train"' in record.read_text():
            return
        time.sleep(0.1)
    raise AssertionError("training has not begun")


def test_a_finished_run_takes_few_lines_and_its_log_file_has_everything(workplace):
    done = workplace.snakemake("--cores", 2, "--no-hooks")
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) <= 20, done.stderr
    assert re.fullmatch(r"\d\d:\d\d:\d\d  finished: 57 of 57 jobs \(100 %\), \d+ s", lines[-1])
    assert "search:oslo" in done.jobs  # of the log file
    assert "Finished jobid: 0 (Rule: all)" in done.log
    told = status(workplace)
    assert (told["condition"], told["done"], told["total"]) == ("finished", 57, 57)
    assert told["areas"]["bern"]["imagery"]["done"] == 8
    assert not told["running"] and not told["failed"]


@pytest.mark.long
def test_a_run_is_told_as_it_runs_and_after_it_was_killed(workplace):
    (workplace.bin / "python").write_text(WAITING)
    process = started(workplace, stderr=subprocess.DEVNULL)
    try:
        wait_for_training(workplace)
        told = status(workplace)
        assert told["condition"] == "running"
        assert [job["says"] for job in told["running"]] == ["Training the network"]
        text, _ = witw(workplace, "status")
        assert "running on" in text.stdout and "10 %, 1/10, 1step/s, 00:09 left" in text.stdout
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    told = status(workplace)
    assert told["condition"] == "killed" and 0 < told["done"] < 57
    text, _ = witw(workplace, "status")
    assert "killed after" in text.stdout and "the same command continues it" in text.stdout
    assert "was at work:\nTraining the network" in text.stdout
    (workplace.folder / "go").touch()
    again = workplace.snakemake("--cores", 2, "--no-hooks")
    assert again.returncode == 0, again.stderr
    assert status(workplace)["condition"] == "finished"


def test_an_interrupted_run_is_described_as_stopped(workplace):
    (workplace.bin / "python").write_text(WAITING)
    process = started(workplace, stderr=subprocess.DEVNULL)
    wait_for_training(workplace)
    os.killpg(process.pid, signal.SIGINT)
    process.wait()
    assert status(workplace)["condition"] in ("stopped", "failed")


def test_a_failure_is_shown_with_its_sentence_and_its_log(workplace):
    (workplace.bin / "python").write_text(FAILING)
    done = workplace.snakemake("--cores", 2, "--no-hooks", "--keep-going")
    assert done.returncode == 1
    assert "FAILED  Lima: listing the photos (logs/lima/search.log)" in done.stderr
    assert done.complaints or "    witw: Area 'lima': the key is refused." in done.stderr
    assert "Traceback" not in done.stderr
    told = status(workplace)
    assert told["condition"] == "failed"
    (failed,) = told["failed"]
    assert failed["sentence"] == "witw: Area 'lima': the key is refused."
    assert failed["job"]["log"] == "logs/lima/search.log"
    assert told["areas"]["lima"]["search"]["failed"] == 1
    assert told["areas"]["oslo"]["pairs"]["done"] == 1


def test_a_terminal_shows_one_screen(workplace):
    (workplace.bin / "python").write_text(WAITING)
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "rows", "40", "cols", "100"], stdin=theirs, check=True)
    process = started(workplace, stderr=theirs, stdin=theirs)
    os.close(theirs)
    seen = bytearray()

    def read():
        try:
            while part := os.read(ours, 65536):
                seen.extend(part)
        except OSError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_for_training(workplace)
        time.sleep(1.5)
        (workplace.folder / "go").touch()
        assert process.wait(timeout=60) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    reader.join(timeout=10)
    text = re.sub(rb"\x1b\[[\d;?]*[a-zA-Z]", b"", bytes(seen)).decode()
    assert "Training the network" in text and "00:09 left" in text
    assert re.search(r"lima +done +done +done +done +done +done", text), text[-3000:]
    assert "57 of 57 jobs (100 %)" in text


def test_printshellcmds_prints_as_snakemake_does(workplace):
    target = "results/oslo/photos.parquet"
    done = workplace.snakemake("--cores", 1, "--no-hooks", "--printshellcmds", target)
    assert "Oslo: listing the photos\n    rule: search aoi=oslo" in done.stderr
    assert "Finished jobid: 0 (Rule: search)" in done.stderr
    assert status(workplace)["condition"] == "finished"


def test_a_run_elsewhere_is_judged_by_its_signs_of_life(finished):
    record = finished.folder / ".snakemake/witw/run.jsonl"
    lines = record.read_text().splitlines()[:-1]  # as long as it runs
    first = json.loads(lines[0]) | {"host": "node7"}
    assert socket.gethostname() != "node7"
    record.write_text("\n".join([json.dumps(first), *lines[1:], '{"event": "st']) + "\n")
    assert status(finished)["condition"] == "running"
    old = time.time() - 600
    os.utime(record, (old, old))
    assert status(finished)["condition"] == "silent"
    text, _ = witw(finished, "status")
    assert "no sign of life from node7 for 10 min" in text.stdout


def test_status_of_640_jobs_takes_less_than_two_seconds(workplace):
    record = workplace.folder / ".snakemake/witw/run.jsonl"
    record.parent.mkdir(parents=True)
    jobs = [
        ("download", {"aoi": f"a{n // 32}", "shard": f"{n % 32:04d}"}, True) for n in range(640)
    ]
    first = {"event": "begin", "time": 1.0, "host": "node7", "pid": 1, "folder": "/", "known": {}}
    events = [first, {"event": "plan", "time": 1.0, "jobs": jobs}]
    for n, (rule, wildcards, _) in enumerate(jobs):
        area = wildcards["aoi"]
        entry = {"event": "start", "time": n, "job": n, "says": "x" * 60, "log": "logs/a.log"}
        events += [entry | {"stage": rule, "area": area}]
        events += [{"event": "finish", "time": n + 9, "job": n}] if n < 600 else []
    record.write_text("".join(json.dumps(event) + "\n" for event in events))
    best = min(witw(workplace, "status")[1] for _ in range(3))
    assert status(workplace)["done"] == 600
    assert best <= 2.0


@pytest.mark.long
def test_a_real_run_of_640_jobs_is_described_in_every_state(workplace):
    def many(config):
        config["defaults"]["shards"] = 66

    workplace.configure(many)
    (workplace.bin / "python").write_text(WAITING)
    process = started(workplace, stderr=subprocess.DEVNULL)
    took = []
    try:
        wait_for_training(workplace)
        done, seconds = witw(workplace, "status", "--json")
        told = json.loads(done.stdout)
        assert told["condition"] == "running" and told["total"] >= 630
        assert told["areas"]["oslo"]["photos"] == {
            "total": 66, "done": 66, "failed": 0, "running": 0,
        }  # fmt: skip
        took.append(seconds)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    killed, seconds = witw(workplace, "status")
    assert "killed after" in killed.stdout
    took.append(seconds)
    (workplace.folder / "go").touch()
    assert workplace.snakemake("--cores", 2, "--no-hooks").returncode == 0
    finished, seconds = witw(workplace, "status")
    assert "finished at" in finished.stdout
    took.append(seconds)
    assert max(took) <= 2.0, took


def test_a_folder_without_a_run_gives_one_sentence(workplace):
    done, _ = witw(workplace, "status")
    assert done.returncode == 1
    assert done.stderr.startswith("witw: ") and "has no record of a run" in done.stderr


def quality(config):
    config["aois"]["bern"]["chips"] = {"jpeg_quality": 80}


def test_diff_shows_the_key_and_both_values(finished):
    finished.configure(quality)
    done, _ = witw(finished, "diff", "--no-hooks", "results/bern/pairs.parquet")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "stage  jobs  areas  because",
        "chips     2  bern   chips.jpeg_quality: 95 -> 80",
        "pairs     1  bern   after chips",
        "",
        "3 jobs would run.",
    ]
    finished.configure()


@pytest.mark.long
def test_diff_tells_a_version_a_new_area_a_newer_file_and_nothing(finished):
    done, _ = witw(finished, "diff", "--no-hooks")
    assert done.stdout == "Nothing would run: everything is up to date.\n"
    strip = finished.folder / "strips/oslo.tif"
    later = time.time() + 5
    strip.write_text("newer")
    os.utime(strip, (later, later))
    done, _ = witw(finished, "diff", "--no-hooks", "results/oslo/mosaic.vrt")
    assert re.search(r"^stats +1 +oslo +newer input: strips/oslo.tif$", done.stdout, re.M), (
        done.stdout
    )

    def graz(config):
        config["aois"]["graz"] = config["aois"]["oslo"] | {"strips": ["strips/graz.tif"]}
        config["aois"]["graz"]["bbox_deg"] = [15.4, 47.0, 15.5, 47.1]

    finished.configure(graz)
    done, _ = witw(finished, "diff", "--no-hooks")
    assert re.search(r"^search +1 +graz +not made yet$", done.stdout, re.M), done.stdout
    finished.configure()


def test_diff_passes_on_snakemakes_errors(finished):
    done, _ = witw(finished, "diff", "results/berne/pairs.parquet")
    assert done.returncode == 1
    assert "did you mean bern?" in done.stderr and "Traceback" not in done.stderr
    assert KEY not in done.stderr
