import pytest

from medforge.simulation.benchmark.results.curves import (
    EpochsNeeded,
    accuracy_at,
    best,
    epochs_until,
    last_epoch,
    reached,
    start_of,
)
from medforge.simulation.benchmark.results.result import TransferRun
from medforge.simulation.result import Score
from tests.simulation.benchmark.making import transfer


def run(*validation: float) -> TransferRun:
    return TransferRun(validation=validation, chosen=1, test=Score(acc=0.5, auc=0.5))


def test_what_is_there_before_training_takes_no_epoch() -> None:
    assert epochs_until(run(0.75, 0.5), 0.75) == 0
    assert epochs_until(run(0.25, 0.5, 0.75, 0.5), 0.6) == 2
    assert epochs_until(run(0.25, 0.5), 0.6) is None
    # .95 · .8 is a last bit above .76
    assert epochs_until(run(0.5, 0.76), 0.95 * 0.8) == 1


def test_the_best_is_after_training() -> None:
    assert best(run(0.75, 0.25, 0.5)) == 0.5


def test_curves_end_where_the_shortest_run_does() -> None:
    fresh = start_of(transfer(), "fresh")
    assert last_epoch(fresh, ("lung",)) == 2
    assert accuracy_at(fresh, ("lung",), 3) is None
    after = accuracy_at(fresh, ("lung", "colon"), 2)
    assert after is not None
    assert after.mean == pytest.approx(0.78125)


def test_every_run_is_measured_by_the_fresh_one_of_its_own_task_and_seed() -> None:
    result = transfer()
    merged = start_of(result, "merged")
    assert reached(result, merged, ("lung", "colon")) == EpochsNeeded(1.0, 4, 4)
    assert reached(result, start_of(result, "shape"), ("lung",)) == EpochsNeeded(None, 0, 2)
    slow = merged.model_copy(update={"tasks": {"lung": {**merged.tasks["lung"], "1": run(0.1, 0.2, 0.3)}}})
    assert reached(result, slow, ("lung",)) == EpochsNeeded(1.0, 1, 2)
