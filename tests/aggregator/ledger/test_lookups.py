"""What is looked up in a ledger without reading its commits is what reading them says, in every database."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.item_table import ItemTable
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.log_page import LogTable
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.rows import ArrivalRow, CommitRow
from medforge.errors import CorruptFile
from medforge.files import sha256_bytes
from medforge.runs import Runs
from tests.aggregator.altering import alter
from tests.aggregator.ledger.test_ledger import arrive, commit
from tests.postgres import Cluster

LENGTH = 30


@pytest.fixture(params=["file", "postgresql", "another"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A chain in a database; `another` is one of which it is not known how it reads JSON."""
    if request.param == "postgresql":
        server: Cluster = request.getfixturevalue("postgres")
        opened = Ledger(server.new_ledger())
    else:
        opened = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    fill(opened)
    if request.param == "another":
        monkeypatch.setattr(opened.engine.dialect, "name", "another")
    yield opened
    opened.close()


def fill(ledger: Ledger) -> None:
    """Commits of both formats that say anything: what may follow what does not matter here."""
    draw = random.Random(0)
    arrive(ledger, LENGTH)
    parent = None
    with ledger.writing() as session:
        for number in range(1, LENGTH + 1):
            members = draw.sample(range(1, LENGTH + 1), draw.randint(0, 8))
            files = {
                f"f\u00e4 {place}": sha256_bytes(b"%d" % draw.randint(0, 60)) for place in range(draw.randint(0, 4))
            }
            about = {"members": Runs(members), "item_files": files, "format": draw.choice([2, 3])}
            about["item"] = draw.choice([None, *(letter * 64 for letter in "abc")])
            arrival = draw.randint(1, LENGTH)
            one = commit(arrival, parent).model_copy(update={**about, "task": 'a "task"\u2028'})
            session.add(CommitRow(number=number, digest=one.digest, arrival=arrival, content=one.content))
            parent = one.digest
        session.execute(update(ArrivalRow).where(ArrivalRow.number % 3 == 0).values(state=State.FOLDED.value))


def digests(commits: list[Commit]) -> set[str]:
    return {digest for one in commits for digest in one.item_files.values()}


def test_files_and_members_are_those_of_the_commits(ledger: Ledger) -> None:
    table, commits = ItemTable(ledger), [one for _, one in ledger.commits()]
    assert table.check() == LENGTH
    assert table.files() == digests(commits)
    assert table.files(after=20) == digests(commits[20:])
    assert table.files_of(Runs()) == table.files(after=LENGTH) == set()
    draw = random.Random(1)
    for _ in range(20):
        arrivals = set(draw.sample(range(1, LENGTH + 2), draw.randint(0, 4)))
        made = [number for number, one in enumerate(commits, start=1) if arrivals & set(one.members)]
        assert list(table.made_with(arrivals)) == made
        numbers = draw.sample(range(1, LENGTH + 1), draw.randint(0, LENGTH))
        assert table.files_of(Runs(numbers)) == digests([commits[number - 1] for number in numbers])


def test_a_commit_is_found_by_its_item(ledger: Ledger) -> None:
    commits = [one for _, one in ledger.commits()]
    for letter in "abcd":
        first = next((one for one in commits if one.item == letter * 64), None)
        assert ItemTable(ledger).commit_of(letter * 64) == first
        assert (first is None) == (letter == "d")


def test_an_altered_commit_does_not_say_what_is_needed(ledger: Ledger) -> None:
    if ledger.engine.dialect.name == "another":
        pytest.skip("it is altered as SQLite is")
    content = ledger.commits()[4][1].content.replace(b"item_files", b"item_filed")
    alter(ledger, "UPDATE commits SET content = :content WHERE number = 5", content=content)
    with pytest.raises(CorruptFile, match="does not have the digest it is known by"):
        ItemTable(ledger).check()


def test_pages_and_numbers_are_those_of_the_commits(ledger: Ledger) -> None:
    table, commits = LogTable(ledger), [one for _, one in ledger.commits()]
    page = table.page(7, 21)
    assert (page.first, page.commits, page.length) == (14, tuple(commits[13:20]), LENGTH)
    assert (page.before, page.head) == (commits[12], commits[-1])
    assert [table.number_of(one.digest) for one in commits] == list(range(1, LENGTH + 1))
    assert table.number_of("0" * 64) is None
    about = [one.arrival for one in commits]
    assert table.were_in(range(1, LENGTH + 1), 11) == set(about[:10])
    assert (table.newest_arrival(1), table.newest_arrival(11)) == (0, max(about[:10]))
    assert [one.number for one in table.outside(None)] == list(range(1, LENGTH + 1))
    folded = {number for number in range(1, LENGTH + 1) if number % 3 == 0}
    inside = folded & set(commits[-1].members)
    assert [one.number for one in table.outside(commits[-1])] == sorted(set(range(1, LENGTH + 1)) - inside)
    told = list(table.after(3))
    assert [(one.number, one.digest, one.content) for one in told] == [
        (number, one.digest, one.content) for number, one in enumerate(commits[3:], start=4)
    ]
    assert [one.contributor for one in told] == [f"centre {one.arrival}" for one in commits[3:]]


def test_a_contributors_commits_come_with_the_ones_before(ledger: Ledger) -> None:
    commits = [one for _, one in ledger.commits()]
    for arrival in {one.arrival for one in commits}:
        theirs = [number for number, one in enumerate(commits, start=1) if one.arrival == arrival]
        wanted = {*theirs, *(number - 1 for number in theirs), LENGTH, 9} - {0}
        told = list(LogTable(ledger).of(f"centre {arrival}", 0, 9))
        assert [one.number for one in told] == sorted(wanted)
        assert [one.number for one in LogTable(ledger).of(f"centre {arrival}", 15, 9)] == sorted(
            number for number in wanted if number > 15
        )
