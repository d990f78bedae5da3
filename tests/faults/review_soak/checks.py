"""What must hold of a forge that sites review, whatever has happened to it and whoever misbehaves."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.commit import Commit, check_chain
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.main_branch.replay import replay
from medforge.aggregator.main_branch.reviewing.board import ReviewBoard
from medforge.base_module import BaseModule
from medforge.client.model_task import model_task, tasks_of
from medforge.client.review.answers import answers
from medforge.proto.receipt import Receipt
from tests.faults.checks import check_receipts, check_sound
from tests.faults.review_soak.sites import TESTED, Site


@dataclass
class Acknowledged:
    """What the forge has said that it holds; from many threads."""

    receipts: list[Receipt] = field(default_factory=list)
    reviews: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    stable: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def copy(self) -> "Acknowledged":
        with self.lock:
            return Acknowledged(list(self.receipts), list(self.reviews), list(self.withdrawn), list(self.stable))


def check_acknowledged(forge: Forge, said: Acknowledged) -> None:
    """Check that every push, review and withdrawal that was acknowledged is there, and all that was told as stable."""
    known = check_receipts(forge, said.receipts)
    table = ReviewTable(forge.ledger).read()
    assert set(said.reviews) <= {kept.signed.review.digest for kept in table.reviews}
    gone = {arrival.branch for arrival in known.values() if arrival.state is State.WITHDRAWN}
    assert set(said.withdrawn) <= gone
    # told as stable is only what went live by a decision
    assert set(said.stable) <= set(live_commits(forge))


def check_rest(forge: Forge, base: BaseModule) -> None:
    """Check a forge that has come to rest: sound, the same when replayed, and with nothing left to decide."""
    check_sound(forge)
    commits = [commit for _, commit in forge.ledger.commits()]
    check_chain(commits)
    assert all(len(set(commit.members)) == len(commit.members) for commit in commits)
    head = forge.ledger.head()
    assert head is not None
    assert set(head.members) == set(forge.ledger.numbers(State.FOLDED))
    assert {one.outcome for one in replay(forge, base)} == {"identical"}
    assert not ReviewBoard(forge.ledger, forge.policy.review).step()


def live_commits(forge: Forge) -> list[str]:
    """Return the commits that went live, in that order."""
    table = ReviewTable(forge.ledger).read()
    return [kept.decision.commit for kept in table.decisions if kept.decision.standing == "live"]


def losses(forge: Forge, base: BaseModule, sites: Iterable[Site], commits: Iterable[str]) -> dict[str, float]:
    """Return by site the largest share of its unseen images by which a commit is behind the best before it.

    An image counts as right where its task's class is, and as at home where it is routed to its task; the larger of
    the two losses.
    """
    items: Mapping[str, Commit] = {commit.digest: commit for _, commit in forge.ledger.commits()}
    right: dict[str, list[int]] = defaultdict(list)
    home: dict[str, list[int]] = defaultdict(list)
    for digest in commits:
        item = forge.load_item(items[digest])
        tasks = tasks_of(item, None)
        for site in sites:
            asked = model_task(tasks, site.task, None)
            given = answers(item, base, site.unseen(), asked, tasks, "")
            right[site.name].append(int(given.right.sum()))
            home[site.name].append(sum(where == asked.name for where in given.routed))
    return {site.name: max(_worst(right[site.name]), _worst(home[site.name])) for site in sites}


def _worst(counts: list[int]) -> float:
    return max((max(counts[:place]) - now for place, now in enumerate(counts) if place), default=0) / TESTED
