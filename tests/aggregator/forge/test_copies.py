"""Which arrivals leave with one that is erased: later copies by others, and never what came before."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.copies import copies_of
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.origin_table import OriginTable
from medforge.aggregator.ledger.records import Arrival, Likeness, State
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.base_module import BaseModule
from medforge.branch import Branch
from tests.aggregator.forges import UNEXAMINED
from tests.aggregator.serving import FAST
from tests.making import branch_around, make_branch, make_plugin


@pytest.fixture
def main(tmp_path: Path, tiny_base: BaseModule) -> Iterator[MainBranch]:
    """A forge that compares nothing, so that copies are folded unnoticed."""
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST, policy=UNEXAMINED)
    yield MainBranch(forge, tiny_base)
    forge.close()


def same_plugin(base: BaseModule, seed: int, contributor: str) -> Branch:
    return branch_around(base, make_plugin(base, 1), seed, "lung", contributor)


def fold(main: MainBranch, branch: Branch) -> Arrival:
    return entry(main, main.fold(main.forge.admit(branch, main.base).number).arrival)


def entry(main: MainBranch, number: int) -> Arrival:
    found = main.forge.ledger.arrival(number)
    assert found is not None
    return found


def found_alike(main: MainBranch, number: int, of: int) -> None:
    names = entry(main, number).contributor, entry(main, of).contributor
    OriginTable(main.forge.ledger).find(Likeness(number, of, names), "their weights")


def states(main: MainBranch) -> list[State]:
    return [one.state for one in main.forge.ledger.arrivals()]


def test_an_unnoticed_copy_leaves_with_its_origin_and_so_do_its_copies(main: MainBranch, tiny_base: BaseModule) -> None:
    fold(main, same_plugin(tiny_base, 1, "b"))
    fold(main, same_plugin(tiny_base, 2, "a"))
    fold(main, make_branch(tiny_base, 9, "skin", "c"))
    fold(main, make_branch(tiny_base, 8, "colon", "d"))
    # d's was accepted as alike to a's
    found_alike(main, 4, 2)
    plugin = main.forge.manifest(1).files["plugin/adapter_model.safetensors"].digest
    maintenance.withdraw(main.forge, "1", "consent withdrawn", erase=True)
    assert [one.number for one in copies_of(main.forge, entry(main, 1))] == [2, 4]
    main.settle()
    assert states(main) == [State.WITHDRAWN, State.WITHDRAWN, State.FOLDED, State.WITHDRAWN]
    assert entry(main, 4).reason.startswith("it is a copy of arrival 1 (b), which was withdrawn and erased; ")
    assert main.forge.ledger.erased() == {1, 2, 4}
    assert not main.forge.blobs.has(plugin)
    head = main.head()
    assert head is not None
    assert head.members == (3,)


def test_what_is_not_erased_leaves_alone(main: MainBranch, tiny_base: BaseModule) -> None:
    fold(main, same_plugin(tiny_base, 1, "b"))
    fold(main, same_plugin(tiny_base, 2, "a"))
    maintenance.withdraw(main.forge, "1", "", erase=False)
    main.settle()
    assert states(main) == [State.WITHDRAWN, State.FOLDED]


def test_the_later_one_takes_nothing_of_the_earlier_ones(main: MainBranch, tiny_base: BaseModule) -> None:
    fold(main, same_plugin(tiny_base, 1, "a"))
    fold(main, same_plugin(tiny_base, 2, "b"))
    fold(main, same_plugin(tiny_base, 3, "a"))
    fold(main, make_branch(tiny_base, 9, "skin", "c"))
    # what is alike to the copy is alike to its origin
    found_alike(main, 4, 2)
    plugin = main.forge.manifest(1).files["plugin/adapter_model.safetensors"].digest
    maintenance.withdraw(main.forge, "2", "mine", erase=True)
    main.settle()
    assert states(main) == [State.SUPERSEDED, State.WITHDRAWN, State.FOLDED, State.FOLDED]
    assert main.forge.blobs.has(plugin)


def test_alike_and_never_let_in_is_left_to_the_maintainer(main: MainBranch, tiny_base: BaseModule) -> None:
    fold(main, make_branch(tiny_base, 1, "lung", "b"))
    main.forge.admit(make_branch(tiny_base, 2, "lung", "a"), tiny_base)
    main.forge.ledger.hold(2, "alike")
    found_alike(main, 2, 1)
    assert copies_of(main.forge, entry(main, 1)) == []
    maintenance.accept(main.forge, "2")
    assert [one.number for one in copies_of(main.forge, entry(main, 1))] == [2]


def test_what_the_maintainer_rejected_is_nobodys_origin(main: MainBranch, tiny_base: BaseModule) -> None:
    """The maintainer has judged that the first to come was the copy."""
    fold(main, same_plugin(tiny_base, 1, "b"))
    fold(main, same_plugin(tiny_base, 2, "a"))
    maintenance.reject(main.forge, "1", "it is a's")
    main.settle()
    assert copies_of(main.forge, entry(main, 1)) == []
    maintenance.withdraw(main.forge, "1", "", erase=True)
    main.settle()
    assert states(main) == [State.WITHDRAWN, State.FOLDED]
