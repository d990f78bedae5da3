from collections.abc import Iterator
from typing import Literal

import pytest

from medforge.aggregator.forge.names import find_arrival, find_commit, stable_or_named
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.log_page import LogTable
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.ledger.rows import CommitRow
from medforge.errors import InvalidInput
from medforge.proto.errors import NotFound
from medforge.proto.tags import Tags
from tests.aggregator.ledger.test_ledger import commit

LUNG, COLON = "1234abcd" + "0" * 56, "1234abce" + "1" * 56
NEWER = "f" * 64


def arrival(number: int, branch: str, task: str, state: State = State.FOLDED) -> Arrival:
    return Arrival(number, branch, "clinic", task, 1, "2026-11-25T14:03:27.123Z", state)


ARRIVALS = [
    arrival(1, LUNG, "lung", State.SUPERSEDED),
    arrival(2, COLON, "colon"),
    arrival(3, NEWER, "lung"),
    arrival(4, "e" * 64, "brain"),
    arrival(5, "d" * 64, "brain", State.HELD),
    arrival(6, "c" * 64, "7", State.HELD),
]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (COLON, 2),
        (COLON[:8], 2),
        (COLON[:8].upper(), 2),
        (LUNG[:9], 1),
        ("2", 2),
        ("colon", 2),
        ("lung", 3),  # the other is superseded
        ("7", 6),
    ],
)
def test_an_arrival_has_many_names(name: str, number: int) -> None:
    assert find_arrival(ARRIVALS, name).number == number


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("brain", InvalidInput, r"'brain' may be any of 2 arrivals: 4 \(eeeeeeee, clinic: brain, folded\), 5 \(dddd"),
        ("1234a", InvalidInput, "'1234a' is too short for a digest; give 8 letters"),
        ("1234abc", InvalidInput, "give 8 letters or more of it: 1 .1234abcd, clinic: lung, superseded., 2 .1234abce"),
        ("77", NotFound, "no arrival is called '77'; `medforge log` lists numbers, tasks and digests"),
        ("skin", NotFound, "no arrival is called 'skin'"),
        ("", NotFound, "no arrival is called ''"),
        ("a" * 64, NotFound, "no arrival is called 'aaaa"),
    ],
)
def test_what_no_arrival_or_several_are_called_gets_a_sentence(
    name: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        find_arrival(ARRIVALS, name)


def test_many_candidates_are_not_all_listed() -> None:
    many = [arrival(number, f"{number:064x}", "skin") for number in range(1, 21)]
    with pytest.raises(InvalidInput, match="20 arrivals: 1 .* and 15 more; give more of its digest"):
        find_arrival(many, "skin")


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    opened = Ledger("sqlite://")
    for one in ARRIVALS:
        opened.add_arrival(one.branch, one.contributor, one.task, 1)
    yield opened
    opened.close()


def add_commit(ledger: Ledger, number: int, kind: Literal["fold", "remove"] = "fold") -> Commit:
    """Add a commit about an arrival, whatever came before: names do not ask that."""
    about, head = ledger.arrivals()[number - 1], ledger.head()
    told = {"contributor": about.contributor, "task": about.task, "branch": about.branch, "kind": kind}
    one = commit(number, head.digest if head else None).model_copy(update=told)
    place = len(ledger.commits()) + 1
    with ledger.writing() as session:
        session.add(CommitRow(number=place, digest=one.digest, arrival=number, content=one.content))
    return one


def test_a_commit_is_found_by_its_digest_or_by_its_arrival(ledger: Ledger) -> None:
    log = LogTable(ledger)
    with pytest.raises(NotFound, match="has no commit yet"):
        stable_or_named(log, None, Tags(), None)
    first, second, removed = (add_commit(ledger, 2), add_commit(ledger, 4), add_commit(ledger, 4, "remove"))
    assert find_commit(log, first.digest) == first
    assert find_commit(log, second.digest[:8]) == second
    for name in ("2", "colon", COLON, COLON[:8], COLON[:8].upper()):
        assert find_commit(log, name) == first
    with pytest.raises(InvalidInput, match=rf"2 commits: {second.digest[:8]} \(fold of arrival 4, .*\(remove of arr"):
        find_commit(log, "4")
    assert stable_or_named(log, None, Tags(), None) == removed
    assert stable_or_named(log, None, Tags(), first.digest) == first
    assert stable_or_named(log, "head", Tags(), first.digest) == find_commit(log, "head") == removed
    assert stable_or_named(log, "stable", Tags(), first.digest) == first
    assert stable_or_named(log, "2", Tags(), None) == first
    with pytest.raises(NotFound, match=r"the stable commit f{12} is not on this main branch"):
        stable_or_named(log, None, Tags(), NEWER)
    with pytest.raises(InvalidInput, match="'1234' is too short for a digest; give 8 letters or more"):
        find_commit(log, "1234")


@pytest.mark.parametrize("name", ["5", "", "%", "_" * 8, "1234abc%", "lung\0", "\ud800", "9" * 30, "f" * 65])
def test_what_no_commit_is_called_gets_a_sentence(ledger: Ledger, name: str) -> None:
    add_commit(ledger, 2)
    with pytest.raises(NotFound, match="no commit is called"):
        find_commit(LogTable(ledger), name)


def test_a_task_may_be_called_as_the_head_is(ledger: Ledger) -> None:
    older = add_commit(ledger, 2)
    ledger.add_arrival("b" * 64, "clinic", "head", 1)
    mine = add_commit(ledger, 7)
    newest = add_commit(ledger, 4)
    assert find_commit(LogTable(ledger), "head") == mine
    assert find_commit(LogTable(ledger), "stable", stable=older.digest) == older
    assert find_commit(LogTable(ledger), "stable") == newest
