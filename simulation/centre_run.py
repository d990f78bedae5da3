"""Where one centre of a run stands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from medforge.progress import spell_seconds
from medforge.simulation.child import Child

PROGRESS_FILE = "progress.json"
"""What a workspace's commands keep beside their work."""


class Stage(StrEnum):
    """Say where a centre stands."""

    WAITING = "waiting for a core"
    COMPUTING = "computing"
    READY = "ready, waiting for its turn"
    PUSHING = "pushing"
    ARRIVED = "arrived"
    DEAD = "did not arrive"


class Step(BaseModel):
    """Hold what a progress file says: a stage, the step that it is at of how many, seconds left of it, and a remark."""

    stage: str
    step: int
    total: int = Field(ge=1)
    eta_seconds: float | None = None
    note: str = ""

    def say(self) -> str:
        """Say it in a few words: what is done, how long this stage may still take, and the remark."""
        left = (
            f", about {spell_seconds(self.eta_seconds)} left of it"
            if self.eta_seconds and self.eta_seconds >= 1
            else ""
        )
        note = f" ({self.note})" if self.note else ""
        return f"{self.stage} {self.step}/{self.total}{left}{note}"


@dataclass
class CentreRun:
    """Follow one centre: its workspace, its running process, and what became of it."""

    name: str
    task: str
    source: str
    due: float
    workspace: Path
    log: Path
    stage: Stage = Stage.WAITING
    child: Child | None = None
    began: float = 0.0
    """When the running process was started, in seconds since 1970."""
    arrival: int | None = None
    why_not: str | None = None
    restarts_at_push: int = 0

    def step(self) -> Step | None:
        """Read from the workspace's progress file how far the running process says it is; None where it says nothing.

        A file that an earlier process left behind is not of this one.
        """
        file = self.workspace / PROGRESS_FILE
        try:
            if file.stat().st_mtime < self.began:
                return None
            return Step.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            return None

    def say(self) -> str:
        """Say in a few words where the centre stands."""
        step = self.step() if self.stage in (Stage.COMPUTING, Stage.PUSHING) else None
        if step is None:
            return f"{self.name} {'starting' if self.stage is Stage.COMPUTING else self.stage}"
        return f"{self.name} {step.say()}"

    @property
    def receipt(self) -> Path:
        """Return the file that proves the arrival."""
        return self.workspace / "receipt.json"
