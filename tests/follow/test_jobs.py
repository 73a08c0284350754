"""A job's log, summarised in a line."""

import pytest

from witw.follow import jobs


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "train:  41%|####1     | 82/200 [00:31<00:44,  2.61step/s, loss=2.130, pairs/s=84]",
            "41 %, 82/200, 2.61step/s, loss=2.130, pairs/s=84, 00:44 left",
        ),
        ("utm:   0%|          | 0/49 [00:00<?, ?tile/s]", "0 %, 0/49, ?tile/s"),
        ("oslo: search: 2134 photos [00:12, 171.2 photos/s]", "2134 photos, 171.2 photos/s"),
        ("20:14:15 going on at step 3 of 9", "going on at step 3 of 9"),
    ],
)
def test_the_latest_line_is_short(tmp_path, line, told):
    path = tmp_path / "a.log"
    path.write_text(f"earlier\n{line}\n\n")
    assert jobs.latest(str(path)) == told


def test_a_trainings_bar_takes_precedence_over_its_notes(tmp_path):
    path = tmp_path / "a.log"
    bar = "train:  41%|####1     | 82/200 [00:31<00:44,  2.61step/s, loss=2.130]"
    path.write_text(f'{bar}\n12:00:01 {{"epoch": 3, "loss": 2.1}}  84 pairs/s\n')
    assert jobs.latest(str(path)) == "41 %, 82/200, 2.61step/s, loss=2.130, 00:44 left"


def test_a_failure_is_described_by_its_sentence_or_last_line(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("12:00:00 begun\nwitw: Area 'rio': put it right.\n")
    assert jobs.sentence([str(path)]) == "witw: Area 'rio': put it right."
    path.write_text("Traceback ...\nValueError: no\x1b[2J\n")
    assert jobs.sentence([str(path)]) == "ValueError: no\\x1b[2J"  # nothing steers a terminal
    assert jobs.sentence([str(tmp_path / "none.log")]) == "the job left no log"


def test_only_the_end_of_a_long_log_is_read(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("x" * 50_000_000 + "\nlast\n")
    assert jobs.latest(str(path)) == "last"


def test_time_left_is_read_from_a_bar(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("a: 1%|1   | 1/9 [00:01<1:02:03, 1it/s]\n")
    assert jobs.seconds_left(str(path)) == 3723
    path.write_text("no bar\n")
    assert jobs.seconds_left(str(path)) is None
