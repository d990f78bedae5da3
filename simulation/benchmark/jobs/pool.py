"""Run jobs on all cores: worker processes that each hold the base module once, and an estimate of the time left."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from medforge.errors import MedForgeError
from medforge.simulation.benchmark.jobs.fork_server import context
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.settings import BenchmarkSettings

LOOK_SECONDS = 0.5
Show = Callable[["PoolProgress"], None]

_bench: Bench | None = None


class PoolProgress:
    """Hold which jobs are done, running and waiting, and how long each sort of work takes."""

    def __init__(self, units: Mapping[Job, int], workers: int) -> None:
        self.waiting = list(units)
        self.running: dict[Job, float] = {}
        self.finished: list[Job] = []
        self._workers = workers
        self._work = dict(units)
        self._seconds: dict[str, float] = {}
        self._units: dict[str, int] = {}

    def begin(self, job: Job) -> None:
        """Note that a job runs from now on."""
        self.waiting.remove(job)
        self.running[job] = time.monotonic()

    def end(self, job: Job) -> None:
        """Note that a job is done, and how long it took."""
        seconds = time.monotonic() - self.running.pop(job)
        self.finished.append(job)
        self._seconds[job.sort] = self._seconds.get(job.sort, 0.0) + seconds
        self._units[job.sort] = self._units.get(job.sort, 0) + self._work[job]

    def time_left(self, left_of: Callable[[Job], float | None]) -> TimeLeft:
        """Estimate the wall time left, from finished jobs of a sort and from what running ones say of themselves.

        ``left_of`` gives the seconds that a running job says it still needs, None where it says nothing.
        """
        now = time.monotonic()
        own = {job: left_of(job) for job in self.running}
        paces = {sort: seconds / self._units[sort] for sort, seconds in self._seconds.items()}
        for job, left in own.items():
            if left is not None:
                paces.setdefault(job.sort, (now - self.running[job] + left) / self._work[job])
        total, complete = 0.0, True
        for job in (*self.running, *self.waiting):
            pace = paces.get(job.sort)
            left = own.get(job)
            if left is not None:
                total += left
            elif pace is None:
                complete = False
            else:
                total += max(pace * self._work[job] - (now - self.running.get(job, now)), 0.0)
        return TimeLeft(total / max(1, min(self._workers, len(self.waiting) + len(self.running))), complete)


@dataclass(frozen=True)
class TimeLeft:
    """Hold an estimate in seconds; not ``complete`` where a sort of work is ahead of which nothing is known yet."""

    seconds: float
    complete: bool


def run_jobs(wanted: Iterable[Job], bench: Bench, workers: int, show: Show) -> int:
    """Run everything wanted and what it needs, except what is done; return how many jobs were run.

    Jobs run in the order given as soon as what they need is there. Raises MedForgeError with the sentence of the first
    job that fails; finished jobs stay finished.
    """
    jobs = [job for job in in_order_of_need(wanted) if not job.done(bench)]
    if not jobs:
        return 0
    standing = PoolProgress({job: job.units(bench) for job in jobs}, workers)
    pool = ProcessPoolExecutor(
        workers,
        mp_context=context(),
        initializer=_begin_worker,
        initargs=(bench.settings, bench.store, max(1, (os.cpu_count() or 1) // workers)),
    )
    futures: dict[Future[None], Job] = {}
    try:
        while standing.waiting or futures:
            for job in ready(standing)[: workers - len(futures)]:
                standing.begin(job)
                futures[pool.submit(_work, job)] = job
            show(standing)
            for future in wait(futures, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED).done:
                job = futures.pop(future)
                _check(future, job, bench)
                standing.end(job)
        show(standing)
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return len(jobs)


def in_order_of_need(wanted: Iterable[Job]) -> list[Job]:
    """List every job once, each after those it needs."""
    ordered: dict[Job, None] = {}

    def add(job: Job) -> None:
        if job not in ordered:
            for needed in job.needs:
                add(needed)
            ordered[job] = None

    for job in wanted:
        add(job)
    return list(ordered)


def ready(standing: PoolProgress) -> list[Job]:
    """List the waiting jobs of which nothing needed is waiting or running."""
    ahead = {*standing.waiting, *standing.running}
    return [job for job in standing.waiting if not ahead.intersection(job.needs)]


def _check(future: Future[None], job: Job, bench: Bench) -> None:
    try:
        future.result()
    except MedForgeError as error:
        raise MedForgeError(f"{job.label}: {error}") from error
    except BrokenProcessPool as error:
        raise MedForgeError(
            f"a process was killed while it worked on {job.label} (was there too little memory?); see "
            f"{bench.store.path / 'logs'}, then run the same command to go on, perhaps with --jobs 1"
        ) from error


def _begin_worker(settings: BenchmarkSettings, store: Store, threads: int) -> None:
    global _bench
    log = store.path / "logs" / f"worker-{os.getpid()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    import torch

    torch.set_num_threads(threads)
    _bench = Bench(settings, store)


def _end_with_parent() -> None:
    # a killed parent leaves its workers waiting for work for ever
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job) -> None:
    assert _bench is not None
    job.run(_bench)
