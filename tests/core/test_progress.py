"""What a person hears of long work where the output is no terminal, and how long it says it takes."""

import pytest

from medforge import progress as module
from medforge.progress import Progress, spell_seconds


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_lines_come_at_growing_intervals(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("training", 1200) as bar:
        for _ in range(1200):
            clock.now += 1
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("training 3/1200, about 20 min left")
    assert len(lines) < 30
    assert lines[-1] == "training 1200/1200"


def test_short_work_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("training", 3) as bar:
        for _ in range(3):
            clock.now += 0.1
            bar.advance()
    assert capsys.readouterr().err == ""


def test_the_last_line_is_said_once(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("scoring", 2) as bar:
        for _ in range(2):
            clock.now += 3
            bar.advance()
    assert capsys.readouterr().err.splitlines() == ["scoring 1/2, about 3 s left", "scoring 2/2"]


def test_the_estimate_follows_the_pace_of_the_last_minute(clock: Clock) -> None:
    bar = Progress("training", 1000)
    for _ in range(100):
        clock.now += 0.1
        bar.advance()
    assert bar.eta_seconds == pytest.approx(90)
    for _ in range(100):
        clock.now += 2
        bar.advance()
    assert bar.eta_seconds == pytest.approx(1600, rel=0.1)
    before = bar.eta_seconds
    clock.now += 60
    assert bar.eta_seconds > before * 1.5  # a step that takes long is no reason to promise the same


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (40, "40 s"),
        (89, "89 s"),
        (90, "2 min"),
        (170, "3 min"),
        (3599, "1 h 00 min"),
        (3600, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_are_spelt_as_people_do(seconds: float, text: str) -> None:
    assert spell_seconds(seconds) == text


def test_at_sixty_columns_stage_steps_and_time_are_whole(clock: Clock) -> None:
    bar = Progress("distilling", 300)
    clock.now += 10
    bar.advance(150, note="step 150: distilled data only 0.812 on validation")
    assert bar.line()[:60].startswith("distilling 150/300, about 10 s left; ")
