"""What accuracy against epochs says of a start; pure functions of a `TransferResult`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from medforge.simulation.benchmark.results.result import StartKey, TransferResult, TransferRun, TransferStart
from medforge.simulation.benchmark.results.scores import Measure

SHARE = 0.95
# far below what one image counts, so that a share of a share is not missed by its last bit
_ROUNDING = 1e-9


@dataclass(frozen=True)
class EpochsNeeded:
    """Say after how many epochs, a mean over the ``count`` of ``of`` runs that came so far, something was reached."""

    epochs: float | None
    count: int
    of: int


def start_of(result: TransferResult, key: StartKey) -> TransferStart:
    """Find a start."""
    return next(start for start in result.starts if start.key == key)


def tasks_of(result: TransferResult) -> tuple[str, ...]:
    """List the tasks that were left out."""
    return tuple(task.name for task in result.provenance.tasks)


def over_seeds(start: TransferStart, tasks: Sequence[str], reading: Callable[[TransferRun], float]) -> Measure:
    """Average a number over tasks, each counting the same, and then over seeds."""
    return Measure.of([fmean(reading(start.tasks[task][seed]) for task in tasks) for seed in start.tasks[tasks[0]]])


def accuracy_at(start: TransferStart, tasks: Sequence[str], epoch: int) -> Measure | None:
    """Average the validation accuracy after an epoch (0 before training); None where a run has fewer epochs."""
    if epoch > last_epoch(start, tasks):
        return None
    return over_seeds(start, tasks, lambda run: run.validation[epoch])


def last_epoch(start: TransferStart, tasks: Sequence[str]) -> int:
    """Return the last epoch that every run has."""
    return min(len(run.validation) for task in tasks for run in start.tasks[task].values()) - 1


def best(run: TransferRun) -> float:
    """Return the highest validation accuracy after an epoch of training."""
    return max(run.validation[1:])


def epochs_until(run: TransferRun, accuracy: float) -> int | None:
    """Count the epochs until a validation accuracy is reached, 0 where it is there before training."""
    return next((epoch for epoch, acc in enumerate(run.validation) if acc >= accuracy - _ROUNDING), None)


def reached(result: TransferResult, start: TransferStart, tasks: Sequence[str]) -> EpochsNeeded:
    """Count the epochs until 95 % of what the fresh plugin's best epoch has, with the same task and seed."""
    fresh = start_of(result, "fresh")
    needed = [
        epochs_until(run, SHARE * best(fresh.tasks[task][seed]))
        for task in tasks
        for seed, run in start.tasks[task].items()
    ]
    there = [epochs for epochs in needed if epochs is not None]
    return EpochsNeeded(fmean(there) if there else None, len(there), len(needed))
