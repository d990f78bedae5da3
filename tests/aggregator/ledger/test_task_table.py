"""What is declared stays declared, and releases who waited for it; over a file and a server."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.task_table import TaskTable, undeclared
from medforge.declared_task import DeclaredTask
from medforge.errors import CorruptFile
from medforge.files import sha256_bytes
from tests.aggregator.altering import alter

LUNG = DeclaredTask.make("lung", [("n", "normal lung"), ("t", "lung tumor")], "CT")
WIDER = DeclaredTask.make("lung", [("n", "normal lung"), ("t", "lung tumor"), ("c", "lung cyst")], "CT")
SKIN = DeclaredTask.make("skin", [("m", "melanoma"), ("n", "naevus")])


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(ledger_url)
    yield opened
    opened.close()


@pytest.fixture
def table(ledger: Ledger) -> TaskTable:
    return TaskTable(ledger)


def arrive(ledger: Ledger, task: str, reason: str = "") -> int:
    number = ledger.add_arrival(sha256_bytes(f"{ledger.counts()}".encode()), "clinic", task, 1).number
    if reason:
        ledger.hold(number, reason)
    return number


def states(ledger: Ledger) -> list[State]:
    return [one.state for one in ledger.arrivals()]


def test_the_newest_declaration_of_a_name_counts(table: TaskTable, ledger: Ledger) -> None:
    assert table.declarations() == {}
    number = arrive(ledger, "lung")
    assert table.add(LUNG, table.declarations()) == 0
    assert table.add(SKIN, table.declarations(), number) == 0
    assert table.add(WIDER, table.declarations(), number) == 0
    found = table.declarations()
    assert list(found) == ["lung", "skin"]
    assert found["lung"].task == WIDER
    assert [(one.number, one.arrival) for one in table.history()] == [(1, None), (2, number), (3, number)]
    assert TaskTable(ledger).declarations() == found


def test_each_declaration_is_in_the_journal(table: TaskTable, ledger: Ledger) -> None:
    number = arrive(ledger, "skin")
    table.add(LUNG, table.declarations())
    table.add(SKIN, table.declarations(), number)
    table.add(WIDER, table.declarations(), number)
    said = [(entry.actor, entry.what, json.loads(entry.about)) for entry in ledger.journal()][1:]
    assert said == [
        ("maintainer", "declared", {"task": "lung", "digest": LUNG.digest}),
        ("forge", "declared", {"task": "skin", "digest": SKIN.digest, "arrival": number}),
        ("forge", "extended", {"task": "lung", "digest": WIDER.digest, "arrival": number}),
    ]


def test_what_was_checked_against_another_state_is_not_declared(table: TaskTable, ledger: Ledger) -> None:
    before = table.declarations()
    assert table.add(LUNG, before) == 0
    assert TaskTable(ledger).add(SKIN, before) is None
    assert list(table.declarations()) == ["lung"]
    assert len(ledger.journal()) == 1


def test_of_many_who_declare_at_once_each_sees_the_others(ledger: Ledger) -> None:
    def declare(number: int) -> None:
        own = TaskTable(ledger)
        task = DeclaredTask.make(f"task {number}", [("a", f"one {number}"), ("b", f"two {number}")])
        while own.add(task, own.declarations()) is None:
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(declare, range(12)))
    history = TaskTable(ledger).history()
    assert [one.number for one in history] == list(range(1, 13))
    assert {one.task.name for one in history} == {f"task {number}" for number in range(12)}


def test_only_those_who_waited_for_the_task_are_released(table: TaskTable, ledger: Ledger) -> None:
    arrive(ledger, "lung", f"{undeclared('lung')}; declare it")
    arrive(ledger, "lung", "the plugin does not beat chance; check it")
    arrive(ledger, "lung 2", f"{undeclared('lung 2')}; declare it")
    arrive(ledger, "lung", f"{undeclared('lung')}; declare it")
    assert table.add(LUNG, table.declarations()) == 2
    assert states(ledger) == [State.RECEIVED, State.HELD, State.HELD, State.RECEIVED]
    assert [one.admitted for one in ledger.arrivals()] == [False] * 4
    released = [entry for entry in ledger.journal() if entry.what == "released"]
    assert [(entry.actor, json.loads(entry.about)["arrival"]) for entry in released] == [
        ("maintainer", 1),
        ("maintainer", 4),
    ]
    assert table.release() == 1
    assert states(ledger) == [State.RECEIVED, State.HELD, State.RECEIVED, State.RECEIVED]


def test_the_table_only_grows(ledger: Ledger, table: TaskTable) -> None:
    table.add(LUNG, {})
    for statement in ("DELETE FROM tasks", "UPDATE tasks SET name = 'x'"):
        with ledger.writing() as session, pytest.raises(SQLAlchemyError, match="tasks is append-only"):
            session.execute(text(statement))


def test_an_altered_declaration_is_not_believed(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    TaskTable(ledger).add(LUNG, {})
    alter(ledger, "UPDATE tasks SET content = :content", content=SKIN.to_bytes())
    with pytest.raises(CorruptFile, match="has another digest; restore it from a backup"):
        TaskTable(ledger).declarations()
    ledger.close()
