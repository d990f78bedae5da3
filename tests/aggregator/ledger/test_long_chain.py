"""Reading a long chain takes as much for each commit as reading a short one: nobody walks over all members of each."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.forge.retention import referenced
from medforge.aggregator.forge.rounds import Chain
from medforge.aggregator.ledger.commit import check_chain
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.runs import Runs
from tests.aggregator.forges import open_main
from tests.aggregator.ledger.test_ledger import arrive, commit

LONG = 60


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the numbers that are taken out of runs one by one."""
    counts: Counter[str] = Counter()
    plainly = Runs.__iter__

    def counting(runs: Runs) -> Iterator[int]:
        for number in plainly(runs):
            counts["numbers"] += 1
            yield number

    monkeypatch.setattr(Runs, "__iter__", counting)
    return counts


def test_no_reader_of_a_chain_walks_over_the_members_of_every_commit(
    tmp_path: Path, tiny_base: BaseModule, walked: Counter[str]
) -> None:
    forge = open_main(tmp_path, tiny_base, choose_settings()).forge
    arrive(forge.ledger, LONG)
    parent = None
    for number in range(1, LONG + 1):
        one = commit(number, parent)
        forge.ledger.add_commit(one)
        parent = one.digest
    walked.clear()
    commits = [one for _, one in forge.ledger.commits()]
    check_chain(commits)
    chain = Chain()
    rounds = [chain.follow(one) for one in commits]
    assert [one.came for one in rounds] == [(number,) for number in range(1, LONG + 1)]
    assert walked["numbers"] == 0
    assert [problem for check in check_forge(forge, quick=True) for problem in check.problems] == []
    list(referenced(forge))
    # the head's members are walked over, a few times, and no other commit's
    assert walked["numbers"] <= 4 * LONG
