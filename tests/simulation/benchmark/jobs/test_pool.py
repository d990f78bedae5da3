"""Jobs in their order, the estimate of the time left, and real worker processes."""

import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from medforge.errors import InvalidInput, MedForgeError
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.pool import PoolProgress, in_order_of_need, ready, run_jobs
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.settings import BenchmarkSettings
from medforge.simulation.centres import DEFAULT_CENTRES


@dataclass(frozen=True)
class Write(Job):
    """Write a file that says which files were there before."""

    name: str
    after: tuple["Write", ...] = ()
    how: str = "well"
    sort = "write"

    @property
    def label(self) -> str:
        return f"write {self.name}"

    @property
    def needs(self) -> tuple[Job, ...]:
        return self.after

    def path(self, bench: Bench) -> Path:
        return bench.store.path / self.name

    def done(self, bench: Bench) -> bool:
        return self.path(bench).exists()

    def run(self, bench: Bench) -> None:
        if self.how == "mistake":
            raise InvalidInput("the images are gone; bring them back")
        if self.how == "killed":
            os.kill(os.getpid(), 9)
        there = sorted(job.name for job in self.after if job.done(bench))
        self.path(bench).write_text(f"{os.getpid()} {' '.join(there)}")


def bench_in(path: Path) -> Bench:
    return Bench(BenchmarkSettings(centres=DEFAULT_CENTRES), Store(path))


def silent(_standing: PoolProgress) -> None:
    """Show nothing."""


A = Write("a")
B = Write("b", (A,))
C = Write("c", (A,))
D = Write("d", (B, C))


def test_each_job_stands_once_after_what_it_needs() -> None:
    assert in_order_of_need([D, B, A]) == [A, B, C, D]


def test_a_job_is_ready_when_nothing_it_needs_is_ahead() -> None:
    standing = PoolProgress(dict.fromkeys((A, B, C, D), 1), workers=2)
    assert ready(standing) == [A]
    standing.begin(A)
    assert ready(standing) == []
    standing.end(A)
    assert ready(standing) == [B, C]
    # what was done before the run is no part of it
    assert ready(PoolProgress({D: 1}, workers=2)) == [D]


def test_the_estimate_says_when_it_is_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    standing = PoolProgress(dict.fromkeys((A, B, C, D), 1), workers=2)
    assert not standing.time_left(lambda job: None).complete
    standing.begin(A)
    now = 106.0
    # A says that it needs 4 more seconds, so a job of its sort takes 10: 4 + 3 · 10 over two workers
    assert standing.time_left(lambda job: 4.0).seconds == pytest.approx(17.0)
    standing.end(A)
    left = standing.time_left(lambda job: None)
    assert (left.seconds, left.complete) == (pytest.approx(9.0), True)
    standing.begin(B)
    now = 108.0
    assert standing.time_left(lambda job: None).seconds == pytest.approx((4.0 + 6 + 6) / 2)


def test_workers_do_everything_once_and_in_order(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)
    assert run_jobs([D], bench, 2, silent) == 4
    written = {name: (tmp_path / name).read_text().split() for name in "abcd"}
    assert [written[name][1:] for name in "abcd"] == [[], ["a"], ["a"], ["b", "c"]]
    assert str(os.getpid()) not in {words[0] for words in written.values()}
    assert run_jobs([D], bench, 2, silent) == 0
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("how", "sentence"),
    [("mistake", "write x: the images are gone; bring them back"), ("killed", "killed while it worked on write x")],
)
def test_a_failing_job_ends_the_run_and_what_is_done_stays(tmp_path: Path, how: str, sentence: str) -> None:
    bench = bench_in(tmp_path)
    with pytest.raises(MedForgeError, match=sentence):
        run_jobs([A, Write("x", (A,), how)], bench, 1, silent)
    assert A.done(bench)
    assert multiprocessing.active_children() == []
