"""Everything that is needed to rebuild a result."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from medforge.simulation.result import Model


class TaskFacts(Model):
    """Say what a task is and how its splits were made."""

    name: str
    source: str
    prompts: tuple[str, ...]
    multi_label: bool = False
    split: str
    score_by: str
    train: int
    validation: int
    test: int


class Provenance(Model):
    """Hold everything that is needed to rebuild a result.

    ``recipes`` writes out the training recipe of every plugin kind and the distillation recipe of every method used.
    ``branches`` maps "task, seed, kind, distillation" to the branch's digest, ``plugins`` "task, seed, kind" to the
    digest of a plugin that was merged without becoming a branch. ``seconds`` is the computing time of the
    artefacts and merges used, summed over processes, also of those that an earlier run had made.
    """

    command: str
    base: str
    base_fingerprint: str
    recipe: str
    changes: tuple[str, ...]
    recipes: dict[str, Any] = Field(default_factory=dict)
    seeds: tuple[int, ...]
    device: str
    dtype: str
    tasks: tuple[TaskFacts, ...]
    branches: dict[str, str]
    plugins: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str]
    seconds: float
    warnings: tuple[str, ...]
