import pytest

from medforge.aggregator.forge.names import find_arrival, find_commit, stable_or_named
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.merge import choose_settings
from medforge.errors import InvalidInput
from medforge.proto.errors import NotFound
from medforge.proto.tags import Tags

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


def commit(number: int, kind: str = "fold", parent: str | None = None) -> Commit:
    about = ARRIVALS[number - 1]
    return Commit(
        kind=kind,  # type: ignore[arg-type]
        parent=parent,
        arrival=number,
        members=(number,),
        contributor=about.contributor,
        task=about.task,
        branch=about.branch,
        method=choose_settings(),
        coefficients={},
        metrics={},
        seed=0,
        software={},
        base="0" * 64,
        compute="cpu",
        item=None,
        item_files={},
    )


def test_a_commit_is_found_by_its_digest_or_by_its_arrival() -> None:
    first, second, removed = commits = [commit(2), commit(4), commit(4, "remove")]
    assert find_commit(commits, first.digest) == first
    assert find_commit(commits, second.digest[:8]) == second
    for name in ("2", "colon", COLON, COLON[:8]):
        assert find_commit(commits, name) == first
    with pytest.raises(InvalidInput, match=rf"2 commits: {second.digest[:8]} \(fold of arrival 4, .*\(remove of arr"):
        find_commit(commits, "4")
    assert stable_or_named(commits, None, Tags(), None) == removed
    assert stable_or_named(commits, "head", Tags(), None) == find_commit(commits, "head") == removed
    assert stable_or_named(commits, "2", Tags(), None) == first
    with pytest.raises(NotFound, match="no commit is called '5'"):
        find_commit(commits, "5")
    with pytest.raises(NotFound, match="has no commit yet"):
        stable_or_named([], None, Tags(), None)
