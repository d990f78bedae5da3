import pytest

from medforge.simulation.benchmark.jobs.artefacts import Distil
from medforge.simulation.benchmark.jobs.pool import PoolProgress, TimeLeft
from medforge.simulation.benchmark.presentation.live_view import heading
from medforge.simulation.durations import duration


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (TimeLeft(0.0, complete=False), "0 of 2 jobs done, time left not known yet"),
        (TimeLeft(200.0, complete=False), "0 of 2 jobs done, at least 3 min left"),
        (TimeLeft(40.0, complete=True), "0 of 2 jobs done, about 40 s left"),
    ],
)
def test_the_heading_promises_no_more_than_is_known(left: TimeLeft, text: str) -> None:
    jobs = {Distil("lung", seed): 1 for seed in (0, 1)}
    assert heading(PoolProgress(jobs, workers=1), left) == text


def test_durations_are_written_for_people() -> None:
    assert [duration(seconds) for seconds in (0.2, 89, 90, 3599, 3600, 7500)] == [
        "0 s", "89 s", "2 min", "1 h 00 min", "1 h 00 min", "2 h 05 min",
    ]  # fmt: skip
