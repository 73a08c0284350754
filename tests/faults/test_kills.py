"""SIGKILL of jobs, of Snakemake, of the service: a rerun ends with the bytes of a calm run."""

import os
import signal
import time

import pytest

from made_town import end, jobs, kill_a_job

KILLS = 3  # jobs of one run folder


def test_a_run_whose_jobs_are_killed_ends_in_the_same_bytes(town, calm, rng, record_property):
    killed = []
    for _ in range(KILLS):
        process = town.start()
        module = kill_a_job(process, rng)
        done = town.wait(process)
        killed.append(module)
        # The other jobs continued; the program is not at fault.
        assert "Traceback" not in done.text, done.text[-4000:]
    record_property("killed", " ".join(filter(None, killed)))
    assert any(killed), "not one job was caught alive"
    town.finish()
    assert town.digest() == calm.digest(), killed


def test_snakemake_killed_with_its_jobs_left_at_work(town, calm, rng):
    """Nobody waits for the orphaned jobs: an immediate rerun meets them and loses nothing."""
    for _ in range(2):
        process = town.start()
        moment = time.monotonic() + 2 + rng.uniform(0, 8)
        while process.poll() is None and (time.monotonic() < moment or not jobs(process)):
            time.sleep(0.05)
        left = jobs(process)
        process.kill()
        process.wait()
        again = town.run()
        if again.returncode:
            # Files still held by the orphaned jobs are reported, and nothing else.
            again.assert_told("in use")
        assert "Traceback" not in again.text, again.text[-4000:]
        for pid in left:
            while os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
                time.sleep(0.05)
    town.finish()
    assert town.digest() == calm.digest()


def test_an_outage_of_the_service_costs_nothing(town, calm, standin, rng):
    process = town.start()
    time.sleep(3 + rng.uniform(0, 6))
    standin.kill()
    try:
        time.sleep(2)
    finally:
        standin.start()
    done = town.wait(process)
    assert "Traceback" not in done.text, done.text[-4000:]
    if done.returncode:
        done.assert_told("run again")
        town.finish()
    assert town.digest() == calm.digest()


def test_a_lasting_outage_loses_no_fetched_data(town, calm, standin, rng):
    process = town.start()
    time.sleep(3 + rng.uniform(0, 6))
    standin.kill()
    try:
        time.sleep(3)
        end(process)
    finally:
        standin.start()
    town.finish()
    assert town.digest() == calm.digest()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_resumes(town, calm, how):
    process = town.start()
    while process.poll() is None and len(jobs(process)) < 2:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(how)
    done = town.wait(process)
    assert done.returncode != 0
    assert "Traceback" not in done.text, done.text[-4000:]
    town.finish()
    assert town.digest() == calm.digest()
