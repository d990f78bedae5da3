"""What the server does: Flower's FedAvg as it is, a plugin on disk after every round, and when each was there."""

from __future__ import annotations

import json
import time

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from medforge.adapt import extract
from medforge_fedavg.plan import Plan, arrays_of, put

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Average for as many rounds as the plan has; write each round's plugin, its score and its second."""
    plan = Plan.read(context.run_config)
    training = plan.training(plan.centres[0])
    while len(list(grid.get_node_ids())) < len(plan.centres):
        time.sleep(0.2)
    began, seconds = time.monotonic(), {}

    def keep(number: int, arrays: ArrayRecord) -> None:
        put(arrays, training)
        extract(training.model, training.base, training.recipe.plugin).save(plan.out / "rounds" / str(number))
        seconds[number] = time.monotonic() - began
        _write(plan, seconds, {})

    initial = arrays_of(training)
    size = sum(len(array.data) for array in initial.values())
    (plan.out / "size.json").write_text(json.dumps(size), encoding="utf-8")
    result = FedAvg().start(grid, initial, num_rounds=plan.rounds, evaluate_fn=keep)
    _write(plan, seconds, {number: float(m["acc"]) for number, m in result.evaluate_metrics_clientapp.items()})  # type: ignore[arg-type]


def _write(plan: Plan, seconds: dict[int, float], scores: dict[int, float]) -> None:
    rounds = [{"round": number, "seconds": at, "acc": scores.get(number)} for number, at in seconds.items()]
    (plan.out / "rounds.json").write_text(json.dumps(rounds), encoding="utf-8")
