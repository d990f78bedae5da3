"""What an interrupted stage has saved, read from its checkpoint's header alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medforge.client.records import DistillationSaved, TrainingSaved

_LONGEST_HEADER = 1 << 26
CHECKPOINT_FILE = "checkpoint.safetensors"


def training_saved(directory: Path) -> TrainingSaved | None:
    """Return how many epochs the checkpoint in a directory holds, or None where there is none."""
    facts = _facts(directory / CHECKPOINT_FILE)
    if facts is None or not isinstance(facts.get("history"), list):
        return None
    return TrainingSaved(epochs=len(facts["history"]), of=facts.get("epochs"), steps=facts.get("steps"))


def distillation_saved(directory: Path, of: int) -> DistillationSaved | None:
    """Return how many steps (out of `of`) the checkpoint in a directory holds, or None where there is none."""
    facts = _facts(directory / CHECKPOINT_FILE)
    if facts is None or not isinstance(facts.get("done"), int):
        return None
    return DistillationSaved(steps=facts["done"], of=of)


def read_saved(values: Mapping[str, object]) -> TrainingSaved | DistillationSaved:
    """Read back what the status of a workspace says in JSON."""
    kind = TrainingSaved if values.get("stage") == "training" else DistillationSaved
    return kind.model_validate(values)


def spell_saved(saved: TrainingSaved | DistillationSaved) -> str:
    """Write "4 of 12 epochs" or "150 of 300 steps of distillation"."""
    if isinstance(saved, DistillationSaved):
        return f"{saved.steps} of {saved.of} steps of distillation"
    count = str(saved.epochs) if saved.of is None else f"{saved.epochs} of {saved.of}"
    steps = "" if saved.steps is None else f" ({saved.steps} steps)"
    return f"{count} epoch{'s' if (saved.of or saved.epochs) != 1 else ''}{steps}"


def _facts(checkpoint: Path) -> dict[str, Any] | None:
    """Read a checkpoint's facts from its header; None for a file that is not there or cannot be read."""
    try:
        with checkpoint.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _LONGEST_HEADER)))
        facts = json.loads(header["__metadata__"]["medforge"])["facts"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts if isinstance(facts, dict) else None
