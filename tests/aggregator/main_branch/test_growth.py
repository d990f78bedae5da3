"""What an arrival asks of the ledger and the disk does not grow with the branches that are there."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import event

from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.ledger.rows import Table
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from tests.aggregator.forges import open_main
from tests.making import make_branch

FEW, MANY = 4, 16


class Work(NamedTuple):
    rows: dict[str, int]
    blobs: int
    commit: int


@pytest.fixture
def loaded() -> Iterator[Counter[str]]:
    """Count the rows that are read from the ledger, by table."""
    counts: Counter[str] = Counter()

    def count(row: Table, _: object) -> None:
        counts[row.__tablename__] += 1

    event.listen(Table, "load", count, propagate=True)
    yield counts
    event.remove(Table, "load", count)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often blobs are read."""
    counts: Counter[str] = Counter()
    plainly = BlobStore.read

    def counting(store: BlobStore, digest: str) -> bytes:
        counts["blobs"] += 1
        return plainly(store, digest)

    monkeypatch.setattr(BlobStore, "read", counting)
    return counts


def arrive(main: MainBranch, number: int) -> int:
    branch = make_branch(main.base, number, task="lung", contributor=f"centre {number}")
    return len(main.fold(main.forge.admit(branch, main.base).number).content)


def test_an_arrival_reads_as_much_and_writes_as_long_a_commit_at_four_times_the_branches(
    tmp_path: Path, tiny_base: BaseModule, loaded: Counter[str], read: Counter[str]
) -> None:
    main = open_main(tmp_path, tiny_base, choose_settings())
    found: dict[int, Work] = {}
    for number in range(1, MANY + 1):
        loaded.clear()
        read.clear()
        commit = arrive(main, number)
        found[number] = Work(dict(loaded), read["blobs"], commit)
    few, many = found[FEW + 1], found[MANY]
    assert many.rows == few.rows
    assert many.blobs == few.blobs
    # the arrival's number and the run of the members have a digit more, and a score may be longer
    assert abs(many.commit - few.commit) < 100
    head = main.head()
    assert head is not None
    assert head.members == tuple(range(1, MANY + 1))
    assert main.checkout().shares.keys() == {one.branch for one in main.forge.ledger.arrivals()}
