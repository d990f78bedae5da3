"""What a person sees of a run where the output is no terminal."""

import io
import json
import os
import time
from pathlib import Path

import pytest
from rich.console import Console

from medforge.simulation.centre_run import CentreRun, Stage
from medforge.simulation.live import LiveTable


@pytest.fixture
def centre(tmp_path: Path) -> CentreRun:
    return CentreRun(
        "lung", "lung", "tissue:lung", 0.0, tmp_path, tmp_path / "log", Stage.COMPUTING, began=time.time() - 1
    )


def write(centre: CentreRun, **state: object) -> None:
    (centre.workspace / "progress.json").write_text(json.dumps(state))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"stage": "training", "step": 3, "total": 9, "eta_seconds": 12.4, "note": "epoch 2"},
         "lung training 3/9, about 12 s left of it (epoch 2)"),
        ({"stage": "training", "step": 9, "total": 9, "eta_seconds": 0.0, "note": ""}, "lung training 9/9"),
        ({"stage": "training", "step": 0, "total": 9, "eta_seconds": None, "note": ""}, "lung training 0/9"),
        ({"step": "none"}, "lung starting"),
    ],
)  # fmt: skip
def test_a_centre_says_no_more_than_its_file(centre: CentreRun, state: dict[str, object], said: str) -> None:
    write(centre, **state)
    assert centre.say() == said


def test_a_file_of_an_earlier_process_says_nothing(centre: CentreRun) -> None:
    write(centre, stage="training", step=3, total=9)
    os.utime(centre.workspace / "progress.json", (centre.began - 60, centre.began - 60))
    assert centre.say() == "lung starting"
    assert centre.step() is None


def test_a_line_every_ten_seconds_and_soon_after_a_new_stage(
    centre: CentreRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    view = LiveTable(Console(file=io.StringIO(), width=200))
    said: dict[float, str] = {}
    for tick in range(401):
        now = 100.0 + tick / 10
        stage = "training" if tick < 150 else "distilling"
        write(centre, stage=stage, step=tick, total=400)
        before = view.console.file.tell()
        view.show([centre], [])
        view.console.file.seek(before)
        if line := view.console.file.read():
            said[now - 100.0] = line
    assert list(said) == pytest.approx([2.0, 12.0, 15.0, 25.0, 35.0], abs=0.15)
    assert "lung training 20/400" in next(iter(said.values()))
    assert "lung distilling 150/400" in list(said.values())[2]
