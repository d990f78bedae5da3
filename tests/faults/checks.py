"""What must hold of a forge whatever has happened to it, and the forge to which nothing ever happened."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.forge.policy import Admission, Limits, Policy
from medforge.aggregator.ledger.commit import check_chain
from medforge.aggregator.ledger.records import Arrival
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.files import sha256_file
from medforge.proto.connection import Connection
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge
from medforge.proto.signing import public_bytes

# The published sequential search: what each arrival gets depends on all before it, so no order and no loss goes unseen.
SETTINGS = choose_settings(method="mixture", level="output", coefficients="sequential", budget=12)

# what random plugins and images are, no examination would let pass
POLICY = Policy(
    # what happens on a full disk is to be seen, so nothing is kept free
    limits=Limits(disk_reserve=0),
    admission=Admission(behaviour=False, weight_change=100, brightness=100),
)


def establish(directory: Path, base: BaseModule, ledger_url: str | None = None, blobs: str | None = None) -> None:
    """Make an empty forge with small searches, for a server to open."""
    Forge.establish(directory, base, SETTINGS, ledger_url, policy=POLICY, blobs=blobs).close()


def undisturbed(directory: Path, base: BaseModule, arriving: Sequence[Branch]) -> list[str]:
    """Fold branches in this order in a forge of their own, and give its commits."""
    main = MainBranch(Forge.establish(directory, base, SETTINGS, policy=POLICY), base)
    for branch in arriving:
        main.fold(main.forge.admit(branch, base).number)
    main.forge.close()
    return [commit.digest for commit in main.log()]


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def wait_folded(at: str, commits: int, seconds: float = 120.0) -> None:
    """Wait until the forge at an address has as many commits."""
    end = time.monotonic() + seconds
    with RemoteForge(Connection(at)) as remote:
        while (there := remote.describe().commits) < commits:
            assert time.monotonic() < end, f"only {there} of {commits} arrivals were folded"
            time.sleep(0.05)


def check_kept(directory: Path, receipts: Iterable[Receipt], ledger_url: str | None = None) -> Forge:
    """Check a forge that nobody serves: nothing acknowledged is lost, nothing is folded twice, all digests are right.

    Gives the forge, open for reading.
    """
    forge = Forge.open(directory, ledger_url)
    known = check_receipts(forge, receipts)
    commits = [commit for _, commit in forge.ledger.commits()]
    check_chain(commits)
    folded = [commit.arrival for commit in commits if commit.kind == "fold"]
    assert len(set(folded)) == len(folded)
    assert all(commit.branch == known[commit.arrival].branch for commit in commits)
    assert all(len(set(commit.members)) == len(commit.members) for commit in commits)
    check_sound(forge)
    return forge


def check_receipts(forge: Forge, receipts: Iterable[Receipt]) -> dict[int, Arrival]:
    """Check that every receipt is the forge's and holds, and nothing arrived twice; give the arrivals by number."""
    known = {arrival.number: arrival for arrival in forge.ledger.arrivals()}
    assert list(known) == list(range(1, len(known) + 1))
    assert len({arrival.branch for arrival in known.values()}) == len(known)
    for receipt in receipts:
        receipt.verify()
        assert receipt.key == public_bytes(forge.key).hex()
        arrival = known[receipt.arrival]
        assert (receipt.forge, receipt.branch) == (forge.settings.forge, arrival.branch)
        assert receipt.accepted_at == arrival.accepted_at
        assert forge.load_branch(receipt.arrival).digest == receipt.branch
    return known


def check_sound(forge: Forge) -> None:
    """Check each blob's digest, and what the maintainer's own command says: chains, journal, references, signatures."""
    for blob in (forge.directory / "blobs").glob("??/*"):
        assert sha256_file(blob) == blob.name
    head = forge.ledger.head()
    if head is not None and head.item is not None:
        assert forge.load_item(head).digest == head.item
    problems = [problem for check in check_forge(forge) for problem in check.problems]
    assert all("is to enter the main branch" in problem for problem in problems), problems


def check_all_folded(
    directory: Path, receipts: Iterable[Receipt], chain: Sequence[str], ledger_url: str | None = None
) -> None:
    """Check that every arrival is in the main branch, and that its commits are those of the undisturbed forge."""
    forge = check_kept(directory, receipts, ledger_url)
    assert forge.ledger.outside() == []
    assert [commit.digest for _, commit in forge.ledger.commits()] == list(chain)
    forge.close()
