import pytest

from medforge.simulation.benchmark.jobs.artefacts import Distil
from medforge.simulation.benchmark.jobs.pool import PoolProgress, TimeLeft
from medforge.simulation.benchmark.presentation.live_view import heading


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
