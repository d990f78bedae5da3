"""Read curves back as TensorBoard and MLflow themselves do."""

from collections.abc import Callable
from pathlib import Path

Points = dict[str, dict[int, float]]
"""Values by name and step."""


def read_tensorboard(place: str, run: str) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(Path(place) / run)).Reload()
    found = {name: read.Scalars(name) for name in read.Tags()["scalars"]}
    return {name: _once([(event.step, event.value) for event in events]) for name, events in found.items()}


def read_mlflow(place: str, run: str) -> Points:
    from mlflow import MlflowClient
    from sqlalchemy import URL

    client = MlflowClient(tracking_uri=URL.create("sqlite", database=place).render_as_string())
    (found,) = client.search_runs(
        [client.get_experiment_by_name("medforge").experiment_id], f"attributes.run_name = '{run}'"
    )
    histories = {name: client.get_metric_history(found.info.run_id, name) for name in found.data.metrics}
    return {name: _once([(one.step, one.value) for one in history]) for name, history in histories.items()}


READERS: dict[str, Callable[[str, str], Points]] = {"tensorboard": read_tensorboard, "mlflow": read_mlflow}


def _once(points: list[tuple[int, float]]) -> dict[int, float]:
    assert len({step for step, _ in points}) == len(points), "a step was written twice"
    return dict(points)
