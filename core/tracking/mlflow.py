"""MLflow: one run of the experiment "medforge", on a tracking server or in a database of one's own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from medforge.tracking.tracking import TrackingFailed

EXPERIMENT = "medforge"
_RUN_TAG = "medforge.run"
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a hospital's machine tells MLflow's makers nothing
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default keeps a command waiting for four minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # not one line for each table of a new database
}


class MLflow:
    """Write the metrics of one run at a tracking URI; a path without a scheme is a SQLite database."""

    PREFIX: ClassVar[str] = "mlflow"
    NEEDS: ClassVar[str] = "mlflow"

    def __init__(self, place: str, run: str) -> None:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        self._place = place
        with self._reached():
            self._client = MlflowClient(tracking_uri=tracking_uri(place))
            experiment = self._experiment()
            # by a tag, as people rename runs
            known = self._client.search_runs([experiment], f"tags.`{_RUN_TAG}` = '{run}'", max_results=1)
            found = known[0] if known else self._client.create_run(experiment, tags={_RUN_TAG: run}, run_name=run)
            self._run: str = found.info.run_id
            self._client.update_run(self._run, status="RUNNING")

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                return str(self._client.create_experiment(EXPERIMENT))
            except MlflowException:
                # another process was quicker
                found = self._client.get_experiment_by_name(EXPERIMENT)
                if found is None:
                    raise
        return str(found.experiment_id)

    def steps(self, name: str) -> frozenset[int]:
        """Return the steps of a metric that the run holds."""
        with self._reached():
            return frozenset(metric.step for metric in self._client.get_metric_history(self._run, name))

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Add metrics in one request."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with self._reached():
            self._client.log_batch(
                self._run, metrics=[Metric(name, value, now, step) for name, value in values.items()]
            )

    def close(self) -> None:
        """Mark the run as finished."""
        with self._reached():
            self._client.set_terminated(self._run)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what MLflow and its database raise into a sentence."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            said = str(error).split("\n", maxsplit=1)[0][:200]
            raise TrackingFailed(
                f"MLflow at {self._place} cannot be used ({said}); see to it or leave --track out"
            ) from error


def tracking_uri(place: str) -> str:
    """Return MLflow's URI of a place; MLflow gave up directories of files, so a path is a SQLite database."""
    if "://" in place or place == "databricks":
        return place
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(Path(place).absolute())).render_as_string()
