from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.ledger.records import Contributor, State
from medforge.aggregator.merge import choose_settings
from medforge.errors import CorruptFile, InvalidInput, OtherVersion
from medforge.files import sha256_bytes
from tests.aggregator.altering import alter
from tests.postgres import Cluster


def branch(number: int) -> str:
    return sha256_bytes(f"branch {number}".encode())


def commit(arrival: int, parent: str | None, seed: int = 0, members: tuple[int, ...] = ()) -> Commit:
    return Commit(
        parent=parent,
        arrival=arrival,
        members=members or tuple(range(1, arrival + 1)),
        contributor=f"centre {arrival}",
        task="lung",
        branch=branch(arrival),
        method=choose_settings(),
        coefficients={branch(arrival): 1.0},
        metrics={"lung": TaskScore(loss=0.5, acc=0.75)},
        seed=seed,
        software={"medforge": "0"},
        base="b" * 64,
        compute="cpu float32",
        item="c" * 64,
        item_files={"forge_item.json": "d" * 64},
    )


def arrive(ledger: Ledger, count: int) -> None:
    for number in range(1, count + 1):
        assert ledger.add_arrival(branch(number), f"centre {number}", "lung", 10).number == number


@pytest.fixture(params=["file", "memory", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """The contract below holds for a database in a file, for one in memory, and for a server."""
    if request.param == "postgresql":
        server: Cluster = request.getfixturevalue("postgres")
        opened = Ledger(server.new_ledger())
    else:
        opened = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}" if request.param == "file" else "sqlite://")
    yield opened
    opened.close()


def test_a_name_for_people_is_the_newest_invitations_or_the_newest_branchs(ledger: Ledger) -> None:
    def invite(display: str | None) -> None:
        ledger.invite(Contributor("clinic", b"k" * 32, "c" * 64, "2026-01-01T00:00:00Z"), display)

    ledger.add_arrival(branch(1), "clinic", "lung", 1, display_name="Klinik")
    ledger.add_arrival(branch(2), "stranger", "lung", 1, display_name="Fremdes Haus")
    assert ledger.display_names() == {"clinic": "Klinik", "stranger": "Fremdes Haus"}
    invite("Klinik Süd")
    ledger.add_arrival(branch(3), "clinic", "brain", 1, display_name="Klinik Nord")
    ledger.add_arrival(branch(4), "stranger", "brain", 1, display_name="Haus am See")
    assert ledger.display_names() == {"clinic": "Klinik Süd", "stranger": "Haus am See"}
    assert ledger.invited_as() == {"clinic": "Klinik Süd"}
    invite(None)
    assert ledger.display_names() == {"stranger": "Haus am See"}
    assert ledger.invited_as() == {"clinic": "clinic"}


def test_a_task_that_reads_like_a_name_names_nobody(ledger: Ledger) -> None:
    ledger.add_arrival(branch(1), "clinic", '"display_name":"x"', 1)
    assert ledger.display_names() == {}


def test_arrivals_are_numbered_from_one_in_order(ledger: Ledger) -> None:
    arrive(ledger, 3)
    assert [a.number for a in ledger.arrivals()] == [1, 2, 3]
    assert ledger.arrival(2) == ledger.arrival_of(branch(2))
    assert ledger.arrival(4) is None
    assert ledger.counts() == (3, 0)


def test_a_branch_that_arrives_again_keeps_number_and_time(ledger: Ledger) -> None:
    first = ledger.add_arrival(branch(1), "centre", "lung", 10)
    arrive_later = ledger.add_arrival(branch(2), "centre", "lung", 10)
    assert ledger.add_arrival(branch(1), "centre", "lung", 10) == first
    assert arrive_later.number == 2


def test_concurrent_arrivals_leave_no_gap_and_no_double(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        # every branch comes twice, from different threads
        found = list(pool.map(lambda n: ledger.add_arrival(branch(n % 40), "centre", "lung", 10), range(80)))
    assert sorted({a.number for a in found}) == list(range(1, 41))
    assert len({(a.number, a.branch, a.accepted_at) for a in found}) == 40


def test_what_counts_of_contributors_is_looked_up_at_once(ledger: Ledger) -> None:
    ledger.invite(Contributor("clinic", b"k" * 32, "c" * 64, "2026-01-01T00:00:00Z"))
    for number, (name, size) in enumerate([("clinic", 3), ("other", 5), ("clinic", 7), ("clinic", 11)], start=1):
        ledger.add_arrival(branch(number), name, "lung", size)
    ledger.hold(3, "why not")
    ledger.change(4, State.WITHDRAWN, erase=True)
    found = ledger.standings(["clinic", "other", "nobody"])
    assert {name: (one.invited, one.stored, one.waiting) for name, one in found.items()} == {
        "clinic": (True, 21, 1),
        "other": (False, 5, 1),
        "nobody": (False, 0, 0),
    }
    assert {name: [arrival.number for arrival in one.arrivals] for name, one in found.items()} == {
        "clinic": [1, 3],
        "other": [2],
        "nobody": [],
    }
    ledger.mark_erased(4)
    assert ledger.standings(["clinic"])["clinic"].stored == 10


def test_unfolded_shrinks_by_commits_and_holds(ledger: Ledger) -> None:
    arrive(ledger, 4)
    ledger.add_commit(commit(1, None))
    ledger.hold(2, "not finite")
    assert [a.number for a in ledger.unfolded()] == [3, 4]
    assert [a.number for a in ledger.unfolded(limit=1)] == [3]
    assert [(a.number, a.state, a.reason) for a in ledger.outside()] == [
        (2, State.HELD, "not finite"),
        (3, State.RECEIVED, ""),
        (4, State.RECEIVED, ""),
    ]
    ledger.release(2)
    assert [a.number for a in ledger.unfolded()] == [2, 3, 4]
    assert ledger.holds() == {}


def test_the_numbers_in_some_states_are_told_by_their_runs(ledger: Ledger) -> None:
    arrive(ledger, 9)
    assert ledger.numbers(State.RECEIVED).runs == [[1, 9]]
    assert ledger.numbers(State.HELD).runs == []
    for number in (1, 4, 5, 9):
        ledger.hold(number, "not finite")
    assert ledger.numbers(State.HELD).runs == [[1, 1], [4, 5], [9, 9]]
    assert ledger.numbers(State.RECEIVED) == [2, 3, 6, 7, 8]
    ledger.change(4, State.REJECTED, "no")
    assert ledger.numbers(State.REJECTED, State.HELD) == [1, 4, 5, 9]


def test_commits_form_a_numbered_chain(ledger: Ledger) -> None:
    arrive(ledger, 2)
    first = commit(1, None)
    second = commit(2, first.digest)
    assert ledger.head() is None
    assert ledger.add_commit(first) == 1
    assert ledger.add_commit(second) == 2
    assert ledger.head() == second
    assert ledger.commits() == [(1, first), (2, second)]
    assert ledger.commits(after=1) == [(2, second)]
    assert ledger.commits(limit=1) == [(1, first)]
    assert ledger.commit(first.digest) == first
    assert ledger.commit("0" * 64) is None
    assert ledger.commit_of(2) == (2, second)
    assert ledger.counts() == (2, 2)


def test_the_same_commit_again_changes_nothing(ledger: Ledger) -> None:
    arrive(ledger, 1)
    assert ledger.add_commit(commit(1, None)) == ledger.add_commit(commit(1, None)) == 1
    assert ledger.counts() == (1, 1)


def test_an_arrival_is_never_folded_twice(ledger: Ledger) -> None:
    arrive(ledger, 2)
    ledger.add_commit(commit(1, None))
    with pytest.raises(LedgerConflict, match="arrival 1 is already folded; fold the next"):
        ledger.add_commit(commit(1, commit(1, None).digest, seed=1))
    assert ledger.counts() == (2, 1)


def test_nothing_overtakes_an_arrival(ledger: Ledger) -> None:
    arrive(ledger, 2)
    with pytest.raises(LedgerConflict, match="arrival 1 is next, and arrivals are folded in order"):
        ledger.add_commit(commit(2, None, members=(2,)))
    assert ledger.head() is None


def test_a_commit_must_follow_the_head(ledger: Ledger) -> None:
    arrive(ledger, 2)
    ledger.add_commit(commit(1, None))
    with pytest.raises(LedgerConflict, match="does not follow the head; fold its arrival on the head again"):
        ledger.add_commit(commit(2, None))


def test_only_one_of_racing_commits_wins(ledger: Ledger) -> None:
    arrive(ledger, 1)

    def attempt(seed: int) -> bool:
        try:
            ledger.add_commit(commit(1, None, seed))
        except LedgerConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    assert ledger.counts() == (1, 1)


def test_a_commit_without_an_arrival_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerConflict, match="names arrival 1, which is another"):
        ledger.add_commit(commit(1, None))


def test_what_is_folded_or_unknown_cannot_be_held(ledger: Ledger) -> None:
    arrive(ledger, 1)
    ledger.add_commit(commit(1, None))
    with pytest.raises(LedgerConflict, match="arrival 1 is folded, so it cannot become held"):
        ledger.hold(1, "late")
    with pytest.raises(LedgerConflict, match="arrival 9 is not in the ledger"):
        ledger.hold(9, "unknown")


def test_a_removal_takes_along_who_is_folded_no_more_and_nobody_else(ledger: Ledger) -> None:
    arrive(ledger, 4)
    parent = None
    for number in range(1, 5):
        folded = commit(number, parent)
        ledger.add_commit(folded)
        parent = folded.digest
    ledger.change(2, State.WITHDRAWN)
    ledger.change(3, State.HELD, "it cannot stay without arrival 2")

    def removal(*members: int) -> Commit:
        return commit(2, parent, members=members).model_copy(update={"kind": "remove"})

    for wrong in ((1,), (4, 1), (1, 2, 4), (1, 3, 4, 5)):
        with pytest.raises(LedgerConflict, match="does not follow from what has become of arrival 2"):
            ledger.add_commit(removal(*wrong))
    ledger.add_commit(removal(1, 4))
    assert ledger.change(3, State.FOLDED).state is State.FOLDED


def test_facts_are_kept(ledger: Ledger) -> None:
    assert ledger.fact("forge") is None
    ledger.set_fact("forge", "one")
    ledger.set_fact("forge", "two")
    assert ledger.fact("forge") == "two"


def test_everything_is_there_after_reopening(ledger_url: str) -> None:
    before = Ledger(ledger_url)
    arrive(before, 3)
    before.add_commit(commit(1, None))
    before.hold(2, "why")
    arrivals = before.arrivals()
    before.close()
    after = Ledger(ledger_url)
    assert after.arrivals() == arrivals
    assert after.head() == commit(1, None)
    assert after.holds()[2].reason == "why"
    assert [a.number for a in after.unfolded()] == [3]


def test_a_reader_sees_what_a_writer_in_another_connection_wrote(ledger_url: str) -> None:
    writer, reader = Ledger(ledger_url), Ledger(ledger_url)
    arrive(writer, 2)
    assert [a.number for a in reader.unfolded()] == [1, 2]


def test_sqlite_is_told_to_survive_a_power_cut(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with ledger._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_an_altered_commit_is_noticed(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    arrive(ledger, 1)
    ledger.add_commit(commit(1, None))
    altered = commit(1, None).content.replace(b"0.75", b"0.99")
    assert altered != commit(1, None).content
    alter(ledger, "UPDATE commits SET content = :content", content=altered)
    with pytest.raises(CorruptFile, match="does not have the digest it is known by; restore it from a backup"):
        ledger.head()


@pytest.mark.parametrize("url", ["nonsense", "nosuchdatabase://x/y"])
def test_an_unusable_url_gets_a_sentence(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not a usable ledger .* give an SQLAlchemy URL such as sqlite:///"):
        Ledger(url)


def test_a_file_that_is_no_database_gets_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(InvalidInput, match="cannot be opened .*file is not a database.*; check its address"):
        Ledger(f"sqlite:///{path}")


def test_a_ledger_that_was_killed_while_it_was_made_is_made_whole(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    alter(ledger, "DELETE FROM facts")
    ledger.close()
    assert Ledger(ledger_url).fact("schema") is not None


def test_a_ledger_of_another_version_is_refused(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    ledger.set_fact("software", "0.9.0")
    ledger.set_fact("schema", "9")
    with pytest.raises(OtherVersion, match=r"schema 9, written by medforge 0\.9\.0, .* which reads schemas 2 and 3"):
        Ledger(ledger_url)
