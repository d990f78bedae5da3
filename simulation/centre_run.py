"""Where one centre of a run stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from medforge.simulation.child import Child


class Stage(StrEnum):
    """Say where a centre stands."""

    WAITING = "waiting for a core"
    COMPUTING = "computing"
    READY = "ready, waiting for its turn"
    PUSHING = "pushing"
    ARRIVED = "arrived"
    DEAD = "did not arrive"


@dataclass
class CentreRun:
    """Follow one centre: its workspace, its running process, and what became of it."""

    name: str
    source: str
    due: float
    workspace: Path
    log: Path
    stage: Stage = Stage.WAITING
    child: Child | None = None
    arrival: int | None = None
    why_not: str | None = None
    restarts_at_push: int = 0

    def progress(self) -> dict[str, object]:
        """Read the workspace's progress file (stage, step, total, eta_seconds, note); empty where there is none."""
        try:
            state = json.loads((self.workspace / "progress.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    @property
    def receipt(self) -> Path:
        """Return the file that proves the arrival."""
        return self.workspace / "receipt.json"
