"""Taking a branch out of the main branch is exact: the head is, to the byte, that of a forge that never saw it."""

from pathlib import Path

import pytest

from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.ledger.records import State
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.replay import replay
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import InvalidInput
from medforge.proto.errors import NotFound
from tests.aggregator.forges import MODES, branches, fold_all, open_main, settings_of
from tests.making import make_branch

Mode = tuple[str, str, str]
every_mode = pytest.mark.parametrize("mode", MODES, ids="-".join)
ORDERED: Mode = ("mixture", "output", "sequential")


def made_of(directory: Path, base: BaseModule, arriving: list[Branch], mode: Mode = ORDERED) -> MainBranch:
    main = open_main(directory, base, settings_of(*mode))
    fold_all(main, arriving)
    return main


def content(commit: Commit | None) -> tuple[object, ...]:
    """What a main branch is, whatever its history."""
    assert commit is not None
    return commit.item, commit.item_files, commit.coefficients, commit.metrics


def problems(main: MainBranch) -> list[str]:
    return [problem for check in check_forge(main.forge) for problem in check.problems]


# the ends are enough for the slow modes
LEAVING = [(mode, leaving) for mode in MODES for leaving in ((0, 2) if mode[1] == "layer" else (0, 1, 2))]


@pytest.mark.parametrize(
    ("mode", "leaving"), LEAVING, ids=lambda of: "-".join(of) if isinstance(of, tuple) else str(of)
)
def test_a_withdrawn_branch_leaves_no_trace_in_the_head(
    tmp_path: Path, tiny_base: BaseModule, mode: Mode, leaving: int
) -> None:
    arriving = branches(tiny_base, 3)
    main = made_of(tmp_path / "one", tiny_base, arriving, mode)
    stayed = [branch for place, branch in enumerate(arriving) if place != leaving]
    never = made_of(tmp_path / "other", tiny_base, stayed, mode)
    maintenance.withdraw(main.forge, str(leaving + 1), "patients objected", erase=False)
    (commit,) = main.settle()
    assert (commit.kind, commit.arrival) == ("remove", leaving + 1)
    assert content(commit) == content(never.head())
    assert problems(main) == []


def test_a_branch_that_waits_is_withdrawn_before_it_is_folded(tmp_path: Path, tiny_base: BaseModule) -> None:
    first, second, third = branches(tiny_base)
    main = open_main(tmp_path / "one", tiny_base, settings_of(*ORDERED))
    for branch in (first, second, third):
        main.forge.admit(branch, tiny_base)
    maintenance.withdraw(main.forge, "2", "", erase=False)
    assert [commit.members for commit in main.fold_waiting()] == [(1,), (1, 3)]
    # the place counts, not the number, so this too is a forge that never saw it
    assert content(main.head()) == content(made_of(tmp_path / "other", tiny_base, [first, third]).head())


def test_the_last_one_may_leave_and_another_come(tmp_path: Path, tiny_base: BaseModule) -> None:
    first, second = branches(tiny_base, 2)
    main = made_of(tmp_path / "one", tiny_base, [first])
    maintenance.withdraw(main.forge, first.digest[:10], "", erase=False)
    (commit,) = main.settle()
    assert (commit.item, commit.members, commit.coefficients) == (None, (), {})
    with pytest.raises(NotFound, match="the main branch was empty; check out another commit"):
        main.checkout()
    fold_all(main, [second])
    assert content(main.head()) == content(made_of(tmp_path / "other", tiny_base, [second]).head())
    assert [one.outcome for one in replay(main.forge, tiny_base)] == ["identical", "empty", "identical"]


def test_a_crash_between_decision_and_commit_loses_neither(tmp_path: Path, tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base, 2)
    main = made_of(tmp_path, tiny_base, arriving)
    maintenance.withdraw(main.forge, "1", "", erase=True)
    main.forge.close()
    again = open_main(tmp_path, tiny_base, settings_of(*ORDERED))
    assert [commit.kind for commit in again.fold_waiting()] == ["remove"]
    assert again.forge.ledger.arrival(1).erased  # type: ignore[union-attr]


def test_erased_files_are_gone_and_digests_stay(tmp_path: Path, tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base, 3)
    main = made_of(tmp_path, tiny_base, arriving)
    blobs = main.forge.blobs
    theirs = {entry.digest for entry in arriving[1].manifest.files.values()} | {arriving[1].digest}
    first, second, third = main.log()
    # a plugin's config is the same for all branches, so the others still need it
    shared = theirs & {entry.digest for entry in arriving[0].manifest.files.values()}
    assert len(shared) == 1
    maintenance.withdraw(main.forge, "2", "consent was withdrawn", erase=True)
    main.settle()
    assert {digest for digest in theirs if blobs.has(digest)} == shared
    made_with = {digest for commit in (second, third) for digest in commit.item_files.values()}
    head = main.head()
    assert head is not None
    kept = set(first.item_files.values()) | set(head.item_files.values()) | shared
    assert not any(blobs.has(digest) for digest in made_with - kept)
    assert [commit.branch for commit in main.log()][1] == arriving[1].digest
    with pytest.raises(NotFound, match="was made with arrival 2, which was erased when it was withdrawn"):
        main.checkout(third.digest)
    with pytest.raises(NotFound, match="arrival 2 was erased"):
        main.forge.load_branch(2)
    assert [one.outcome for one in replay(main.forge, tiny_base)] == ["identical", "erased", "erased", "identical"]
    assert problems(main) == []
    with pytest.raises(LedgerConflict, match=r"cannot be undone: arrival 2 was erased"):
        maintenance.revert(main.forge, head.digest, "")


def test_files_that_somebody_else_needs_survive_an_erasure(tmp_path: Path, tiny_base: BaseModule) -> None:
    theirs = make_branch(tiny_base, 1, task="lung", contributor="theirs")
    mine = make_branch(tiny_base, 1, task="lung", contributor="mine")
    main = made_of(tmp_path, tiny_base, [theirs, mine])
    # a later copy takes nothing of what it was copied from along
    maintenance.withdraw(main.forge, "2", "", erase=True)
    main.settle()
    assert main.forge.load_branch(1).digest == theirs.digest
    assert main.checkout() is not None
    assert problems(main) == []


@every_mode
def test_a_new_version_takes_the_place_of_the_old_one(tmp_path: Path, tiny_base: BaseModule, mode: Mode) -> None:
    first, second = branches(tiny_base, 2)
    newer = make_branch(tiny_base, 9, task="task 0", contributor="centre 0")
    main = made_of(tmp_path / "one", tiny_base, [first, second, newer], mode)
    head = main.head()
    assert head is not None
    assert (head.kind, head.members) == ("fold", (2, 3))
    assert content(head) == content(made_of(tmp_path / "other", tiny_base, [second, newer], mode).head())
    old = main.forge.ledger.arrival(1)
    assert old is not None
    assert (old.state, old.reason) == (State.SUPERSEDED, "arrival 3 took its place")
    assert [one.outcome for one in replay(main.forge, tiny_base)] == ["identical"] * 3


def test_an_old_version_does_not_come_after_a_newer_one(tmp_path: Path, tiny_base: BaseModule) -> None:
    old, newer = (make_branch(tiny_base, seed, task="lung", contributor="north") for seed in (1, 2))
    main = open_main(tmp_path, tiny_base, settings_of(*ORDERED))
    main.forge.admit(old, tiny_base)
    main.forge.ledger.hold(1, "looks odd")
    fold_all(main, [newer])
    maintenance.accept(main.forge, "1")
    assert main.fold_waiting() == []
    entry = main.forge.ledger.arrival(1)
    assert entry is not None
    assert entry.state is State.SUPERSEDED
    assert "arrival 2 by the same contributor for the same task is newer" in entry.reason


def test_a_round_is_reverted_and_the_revert_reverted(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = made_of(tmp_path / "one", tiny_base, branches(tiny_base, 3))
    _, second, third = main.log()
    maintenance.revert(main.forge, second.digest[:12], "wrong labels")
    (gone,) = main.settle()
    assert gone.members == (1, 3)
    entry = main.forge.ledger.arrival(2)
    assert entry is not None
    assert (entry.state, entry.reason) == (State.REJECTED, f"commit {second.digest[:12]} was reverted: wrong labels")
    with pytest.raises(LedgerConflict, match="nothing of commit .* is left to undo"):
        maintenance.revert(main.forge, second.digest, "")
    maintenance.revert(main.forge, gone.digest, "the labels were right")
    (back,) = main.settle()
    assert (back.kind, back.members) == ("restore", (1, 2, 3))
    assert content(back) == content(third)
    assert problems(main) == []
    assert [one.outcome for one in replay(main.forge, tiny_base)] == ["identical"] * 5


def test_reverting_an_update_brings_the_old_version_back(tmp_path: Path, tiny_base: BaseModule) -> None:
    old, newer = (make_branch(tiny_base, seed, task="lung", contributor="north") for seed in (1, 2))
    other = make_branch(tiny_base, 3, task="colon", contributor="south")
    main = made_of(tmp_path, tiny_base, [old, other, newer])
    before, after = main.log()[-2:]
    maintenance.revert(main.forge, after.digest, "")
    main.settle()
    head = main.head()
    assert head is not None
    assert head.members == (1, 2)
    assert content(head) == content(before)


def test_what_was_rejected_can_be_accepted_and_comes_last(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = made_of(tmp_path, tiny_base, branches(tiny_base, 2))
    maintenance.reject(main.forge, "1", "not now")
    main.settle()
    maintenance.accept(main.forge, "1")
    main.fold_waiting()
    head = main.head()
    assert head is not None
    assert head.members == (2, 1)
    with pytest.raises(LedgerConflict, match="only a held or rejected one is accepted"):
        maintenance.accept(main.forge, "1")


def test_decisions_name_what_they_cannot_find(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = made_of(tmp_path, tiny_base, branches(tiny_base, 1))
    with pytest.raises(NotFound, match="no arrival is called '7'; `medforge log` lists numbers, tasks and digests"):
        maintenance.reject(main.forge, "7", "")
    branch = main.forge.kept_arrivals([1])[0].branch
    with pytest.raises(
        InvalidInput, match=f"'{branch[:4]}' is too short for a digest; give 8 letters or more of it: 1"
    ):
        maintenance.reject(main.forge, branch[:4], "")


def test_withdrawing_what_is_withdrawn_changes_nothing(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = made_of(tmp_path, tiny_base, branches(tiny_base, 2))
    maintenance.withdraw(main.forge, "1", "", erase=False)
    main.settle()
    entries = len(main.forge.ledger.journal())
    maintenance.withdraw(main.forge, "1", "", erase=False)
    assert main.settle() == []
    assert len(main.forge.ledger.journal()) == entries
    maintenance.withdraw(main.forge, "1", "", erase=True)
    main.settle()
    entry = main.forge.ledger.arrival(1)
    assert entry is not None
    assert entry.erased
