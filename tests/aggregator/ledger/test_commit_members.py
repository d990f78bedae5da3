"""A commit says its members by their runs, and one of the format before keeps its bytes."""

import json
from typing import Any

import pytest

from medforge.aggregator.ledger.commit import Commit
from medforge.errors import CorruptFile
from medforge.files import canonical_json, sha256_bytes
from tests.aggregator.ledger.test_ledger import commit


def read(plain: dict[str, Any]) -> Commit:
    content = canonical_json(plain)
    return Commit.parse(content, sha256_bytes(content))


def test_a_commit_says_its_members_by_runs_and_is_read_back() -> None:
    one = commit(1003, "a" * 64, members=(*range(1, 500), 501, 500, *range(503, 1004)))
    assert json.loads(one.content)["members"] == [[1, 499], [501, 501], [500, 500], [503, 1003]]
    assert Commit.parse(one.content, one.digest) == one
    assert one.model_dump(mode="json")["members"] == list(one.members), "whoever reads the log reads all"


def test_a_commit_of_the_format_before_keeps_its_bytes() -> None:
    old = commit(3, "a" * 64).model_copy(update={"format": 2})
    assert json.loads(old.content)["members"] == [1, 2, 3]
    assert Commit.parse(old.content, old.digest) == old


@pytest.mark.parametrize(
    "members",
    [
        [[1, 2], [3, 4]],
        [1, 2, 3, 4],
        [[4, 1]],
        [[1, 4, 5]],
        [[1.0, 4.0]],
        [[1, 4], 5],
        [[True, 4]],
        [["1", "4"]],
        [[1, 10**12]],
        [[5, -(10**12)], [1, 10**12]],
    ],
    ids=json.dumps,
)
def test_members_that_are_spelled_otherwise_are_refused(members: list[Any]) -> None:
    plain = json.loads(commit(4, "a" * 64).content)
    assert read(plain).members == (1, 2, 3, 4)
    with pytest.raises(CorruptFile):
        read(plain | {"members": members})
