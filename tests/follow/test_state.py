"""State of a run from its events, counted by hand."""

import pytest
from made_run import JOINT, PER_AREA, START, begin, error, finish, plan, start

from witw.follow import view
from witw.follow.state import Tally, replay

JOBS = sum(PER_AREA.values())


def test_jobs_are_counted_by_area_and_stage():
    state = replay(
        [
            begin(),
            plan(["paris", "rio"], done=("stats",)),
            start(1, "search", "paris"),
            finish(1, 10),
            start(2, "download", "paris", 10),
            start(3, "download", "paris", 10),
            error(3, "witw: the disk is full.", 20),
        ]
    )
    assert (state.done, state.total) == (1, 2 * JOBS + len(JOINT) - 2)  # `all` is no job
    assert state.areas() == ["paris", "rio"]
    assert state.column("paris", "search") == Tally(total=2, done=1)
    assert state.column("paris", "photos") == Tally(total=4, running=1, failed=1)
    assert state.column("paris", "imagery") == Tally(total=4, done=1)
    assert state.later() == {stage: Tally(total=1) for stage in JOINT}
    assert list(state.failed) == [3] and list(state.running) == [2]


def test_a_retried_job_is_not_a_failure():
    events = [begin(), plan(["rio"]), start(1, "search", "rio"), error(1, "gone", 5)]
    assert replay(events).column("rio", "search").failed == 1
    again = replay([*events, start(1, "search", "rio", 6)])
    assert again.failed == {} and again.column("rio", "search") == Tally(total=2, running=1)
    done = replay([*events, start(1, "search", "rio", 6), finish(1, 9)])
    assert done.column("rio", "search") == Tally(total=2, done=1)


def test_without_a_plan_jobs_are_counted_as_they_start():
    progress = {"event": "progress", "time": START + 3, "done": 1, "total": 9}
    state = replay([begin(), start(1, "search", "rio"), finish(1, 3), progress])
    assert (state.done, state.total) == (1, 9)
    assert state.column("rio", "search") == Tally(total=1, done=1)


@pytest.mark.parametrize("side_by_side", [1, 2])
def test_the_time_left_follows_from_mean_durations_and_parallelism(side_by_side):
    """4 downloads, 2 done in 30 s each: 60 s are left with one at a time, 30 s with two."""
    jobs = [("download", {"aoi": "rio", "shard": f"{n:04d}"}, True) for n in range(4)]
    second = 30 if side_by_side == 1 else 0
    state = replay(
        [
            begin(),
            {"event": "plan", "time": START, "jobs": jobs},
            start(1, "download", "rio"),
            start(2, "download", "rio", second),
            finish(1, 30),
            finish(2, second + 30),
        ]
    )
    left, unknown = state.left(START + second + 30)
    assert unknown == []
    assert left == pytest.approx(60 / side_by_side)


def test_a_stage_that_was_never_timed_makes_the_time_left_a_lower_bound(tmp_path):
    events = [begin(known={"download": 100.0}), plan(["rio"]), start(1, "search", "rio")]
    state = replay([*events, finish(1, 50)])
    left, unknown = state.left(START + 50)
    assert "train" in unknown and left == pytest.approx(400.0)
    assert view.time_left(state, START + 50) == "at least 7 min left"
    known = replay([begin(known=dict.fromkeys(state.durations() | dict.fromkeys(unknown), 10.0))])
    known.apply(plan(["rio"]))
    assert view.time_left(known, START) == "about 4 min left"


def test_a_trainings_time_left_comes_from_its_bar(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("train:  41%|####1     | 82/200 [00:31<02:00:44, 2.61step/s, loss=2.130]\n")
    jobs = [("train", {}, True)]
    state = replay([begin(), {"event": "plan", "time": START, "jobs": jobs}])
    state.apply(start(1, "train", log=str(log), says="Training the network"))
    assert view.time_left(state, START + 31) == "about 2 h 01 min left"
    text = view.plain(state, START + 31)
    assert "Training the network  31 s  41 %, 82/200, 2.61step/s, loss=2.130, 02:00:44 left" in text


def test_a_run_of_200_areas_fits_a_screen():
    areas = [f"area{n:03d}" for n in range(200)]
    events = [begin(), plan(areas)]
    for n in range(90):  # 20 finished, 70 at work
        events += [start(n, "search", areas[n])]
        if n < 20:
            events += [finish(n, 5)]
            for part, (rule, count) in enumerate(PER_AREA.items()):
                for shard in range(count - (rule == "search")):
                    number = 1000 * (n + 1) + 10 * part + shard
                    stage = "shards" if rule == "shards_4" else rule
                    events += [start(number, stage, areas[n]), finish(number, 6)]
    state = replay(events)
    for failed in range(30, 36):
        state.apply(error(failed, "witw: " + "far too long " * 4, 9))
    console = view.Console(width=80, height=30)
    with console.capture() as capture:
        console.print(view.screen(state, START + 10, 30))
    lines = capture.get().splitlines()
    assert len(lines) <= 30 + 4  # a sentence may take a second line
    assert any("20 finished" in line and "110 not started" in line for line in lines), lines
    assert "and 58 more" in capture.get() and "and 2 more failed" in capture.get()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (7500, "2 h 05 min"), (200_000, "2 d 7 h")],
)
def test_durations_read_as_words(seconds, words):
    assert view.duration(seconds) == words
