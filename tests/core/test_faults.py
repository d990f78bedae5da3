import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge import faults
from medforge.errors import InvalidInput

ROOMS = ("core", "proto", "client", "aggregator")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has reached nothing yet."""
    monkeypatch.setattr(faults, "_times", itertools.count(1))
    faults._plan.cache_clear()
    yield
    faults._plan.cache_clear()


def test_every_point_is_somewhere_in_the_code_and_no_other() -> None:
    root = Path(__file__).resolve().parents[2]
    code = "".join(file.read_text() for room in ROOMS for file in (root / room).rglob("*.py"))
    assert set(re.findall(r'\breached\("([^"]+)"\)', code)) == set(faults.POINTS)


def test_nothing_happens_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(faults.VARIABLE, raising=False)
    for point in faults.POINTS:
        faults.reached(point)


def test_it_happens_at_its_point_at_its_time_and_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(faults.VARIABLE, "during upload:3=full")
    for _ in range(2):
        faults.reached("during upload")
        faults.reached("before blob")
    with pytest.raises(OSError, match="No space left on device"):
        faults.reached("during upload")
    faults.reached("during upload")
    assert capfd.readouterr().err == "medforge: fault: full at 'during upload', time 3\n"


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("during lunch", "MEDFORGE_FAULT names no fault point ('during lunch'); choose one of: starting, "),
        ("during upload:0", "names no fault point"),
        ("during upload=explode", "asks for 'explode' at 'during upload'; choose one of: kill, full, freeze"),
    ],
)
def test_a_wrong_wish_gets_a_sentence(monkeypatch: pytest.MonkeyPatch, asked: str, sentence: str) -> None:
    monkeypatch.setenv(faults.VARIABLE, asked)
    with pytest.raises(InvalidInput, match=re.escape(sentence)):
        faults.reached("starting")
