"""Lines of a run without a terminal, on a clock that the test sets."""

import pytest
from made_run import START, begin, plan

from witw.follow.lines import Lines
from witw.follow.state import replay


@pytest.mark.parametrize(("minutes", "most"), [(2, 4), (10, 8), (30, 13), (600, 85)])
def test_a_long_run_takes_few_lines(minutes, most):
    """The first one comes after half a minute; the demo of a slow machine fits on a page."""
    lines = Lines(replay([begin(), plan(["rio"])]))
    told = [second for second in range(60 * minutes) if lines.due(START + second)]
    assert told[0] == 30
    assert most / 2 <= len(told) <= most
