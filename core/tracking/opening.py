"""From `--track` to a run that is written."""

from __future__ import annotations

import importlib.util
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from medforge.errors import InvalidInput
from medforge.files import canonical_json, parse_json, write_atomically
from medforge.tracking.mlflow import MLflow
from medforge.tracking.tensorboard import TensorBoard
from medforge.tracking.tracking import Tracking

BACKENDS = {backend.PREFIX: backend for backend in (TensorBoard, MLflow)}
RUN_FILE = "tracking.json"
"""What a directory's run is called, in every backend, so that whoever goes on with the work goes on with its run."""


def check_targets(targets: Sequence[str]) -> None:
    """Raise InvalidInput for what is no "tensorboard:DIR" or "mlflow:URI", or needs what is not installed."""
    for target in targets:
        prefix, _, place = target.partition(":")
        if prefix not in BACKENDS or not place:
            raise InvalidInput(f"--track {target} names no place for curves; give tensorboard:DIR or mlflow:URI")
        needed = BACKENDS[prefix].NEEDS
        if importlib.util.find_spec(needed) is None:
            raise InvalidInput(
                f"--track {target} needs {needed}, which is not installed; run: pip install 'medforge[{prefix}]'"
            )


@contextmanager
def tracked(targets: Sequence[str], directory: Path) -> Iterator[Tracking]:
    """Track the work of a directory at every target; its run is named in the directory, at first by `name_run`.

    Raises what `check_targets` raises, and TrackingFailed where a target cannot be opened.
    """
    check_targets(targets)
    parts = [target.partition(":") for target in targets]
    run = name_run(directory) if parts else ""
    tracking = Tracking([BACKENDS[prefix](place, run) for prefix, _, place in parts])
    try:
        yield tracking
    finally:
        tracking.close()


def name_run(directory: Path, within: str | None = None) -> str:
    """Return the name of a directory's run, and write it there first where it has none.

    It is the directory's own name with a random ending, as another directory may be called the same; `within` the run
    of the whole that it is a part of, the name alone.
    """
    file = directory / RUN_FILE
    try:
        return str(parse_json(file.read_bytes())["run"])
    except FileNotFoundError:
        name = re.sub(r"[^\w.-]+", "-", directory.absolute().name, flags=re.ASCII) or "run"
        run = f"{name}-{secrets.token_hex(4)}" if within is None else f"{within}/{name}"
        write_atomically(file, canonical_json({"run": run}) + b"\n")
        return run
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(f"{file} cannot be read; delete it to begin another run of its curves") from error
