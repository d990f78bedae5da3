"""What is alike to another contributor's earlier branch waits for the maintainer, at a cost that does not grow."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Admission, OriginPolicy, Policy
from medforge.aggregator.forge.retention import erase
from medforge.aggregator.forge.stored_branches import StoredBranches
from medforge.aggregator.ledger.journal import FOUND_ALIKE
from medforge.aggregator.ledger.origin_table import OriginTable
from medforge.aggregator.ledger.records import State
from medforge.aggregator.main_branch.examination import BranchHeld
from medforge.aggregator.main_branch.origin.comparison import NEAREST
from medforge.aggregator.main_branch.origin.gate import OriginGate
from medforge.aggregator.main_branch.origin.memory import OriginMemory
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.distilled import DistilledDataset
from medforge.manifest import Manifest
from medforge.plugin import Plugin
from tests.aggregator.serving import FAST
from tests.making import branch_around, make_branch, make_plugin


class Gated:
    """A forge, and a gate that its arrivals are checked at."""

    def __init__(self, forge: Forge, base: BaseModule) -> None:
        self.forge, self.base = forge, base
        self.again()

    def again(self) -> None:
        """As after a restart."""
        self.gate, self.branches = OriginGate(self.forge, self.base), StoredBranches(self.forge, None)

    def arrive(self, branch: Branch) -> str:
        """What it is held for, "" for nothing."""
        entry = self.forge.admit(branch, self.base)
        try:
            self.gate.check(entry, self.branches)
        except BranchHeld as error:
            return str(error)
        return ""

    def accept(self, number: int) -> None:
        self.forge.ledger.hold(number, "it is alike")
        self.forge.ledger.change(number, State.RECEIVED, actor="maintainer")

    def erase(self, number: int) -> None:
        entry = self.forge.ledger.change(number, State.WITHDRAWN, erase=True)
        self.gate.before_erasure(entry, self.branches)
        erase(self.forge, [entry])


@pytest.fixture
def gated(tmp_path: Path, tiny_base: BaseModule, ledger_url: str) -> Iterator[Gated]:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST, ledger_url, policy=Policy())
    yield Gated(forge, tiny_base)
    forge.close()


def noisy(plugin: Plugin, amount: float, seed: int = 0) -> Plugin:
    random = torch.Generator().manual_seed(seed)
    factors = {
        site: replace(f, up=f.up + amount * f.up.std() * torch.randn(f.up.shape, generator=random))
        for site, f in plugin.factors.items()
    }
    return replace(plugin, factors=factors)


def by(
    branch: Branch, contributor: str, plugin: Plugin | None = None, images: DistilledDataset | None = None
) -> Branch:
    """The same branch with other parts, under another name."""
    # images of everybody's own, unless they are given
    seed = sum(place * ord(letter) for place, letter in enumerate(contributor, 1000))
    other = branch_around(BASES[0], plugin or branch.plugin, seed, branch.manifest.task, contributor)
    return other if images is None else _with_images(other, images)


def _with_images(branch: Branch, images: DistilledDataset) -> Branch:
    return Branch.build(
        branch.plugin, images, contributor=branch.manifest.contributor, task=branch.manifest.task, base=BASES[0],
        training_images=10, recipe="test", seed=1, validation={"acc": 0.5},
    )  # fmt: skip


BASES: list[BaseModule] = []


@pytest.fixture(autouse=True)
def _base(tiny_base: BaseModule) -> None:
    BASES[:] = [tiny_base]


CHANGES: dict[str, Callable[[Branch], Branch]] = {
    "the same plugin": lambda branch: by(branch, "b"),
    "a noisy plugin": lambda branch: by(branch, "b", plugin=noisy(branch.plugin, 0.15)),
    "the same images": lambda branch: by(branch, "b", plugin=make_plugin(BASES[0], 9), images=branch.distilled),
    "brighter images": lambda branch: by(
        branch, "b", plugin=make_plugin(BASES[0], 9),
        images=replace(branch.distilled, images=(0.8 * branch.distilled.images + 0.1).flip(3)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_copy_is_held_with_both_names(
    gated: Gated, tiny_base: BaseModule, change: Callable[[Branch], Branch]
) -> None:
    branch = make_branch(tiny_base, 1, contributor="a")
    assert gated.arrive(branch) == ""
    assert gated.arrive(make_branch(tiny_base, 2, contributor="c")) == ""
    said = gated.arrive(change(branch))
    assert said.startswith("arrival 3 (b) and arrival 1 (a) are alike: ")
    (found,) = OriginTable(gated.forge.ledger).found()
    assert (found.arrival, found.of, found.contributors) == (3, 1, ("b", "a"))
    # asked again it says the same, and enters nothing twice
    gated.again()
    entry = gated.forge.ledger.arrival(3)
    assert entry is not None
    with pytest.raises(BranchHeld, match=r"arrival 1 \(a\) are alike"):
        gated.gate.check(entry, gated.branches)
    assert [one.what for one in gated.forge.ledger.journal()].count(FOUND_ALIKE) == 1


def test_own_versions_are_no_copies_nor_is_what_somebody_took_from_them(gated: Gated, tiny_base: BaseModule) -> None:
    first = make_branch(tiny_base, 1, contributor="a")
    assert gated.arrive(first) == ""
    assert gated.arrive(by(first, "a", plugin=noisy(first.plugin, 0.1))) == ""
    assert "arrival 3 (thief) and arrival 1 (a)" in gated.arrive(by(first, "thief", images=first.distilled))
    # the thief's does not keep its origin from going on, also once the origin was erased
    assert gated.arrive(by(first, "a", plugin=noisy(first.plugin, 0.12, seed=1))) == ""
    gated.erase(1)
    assert gated.arrive(by(first, "a", plugin=noisy(first.plugin, 0.12, seed=2), images=first.distilled)) == ""


def test_an_accepted_pair_is_one_origin_until_that_is_erased(gated: Gated, tiny_base: BaseModule) -> None:
    first = make_branch(tiny_base, 1, contributor="a")
    gated.arrive(first)
    assert gated.arrive(by(first, "b", plugin=noisy(first.plugin, 0.1)))
    assert gated.arrive(by(first, "b", plugin=noisy(first.plugin, 0.1, seed=1)))
    gated.accept(2)
    assert gated.arrive(by(first, "b", plugin=noisy(first.plugin, 0.1, seed=2))) == ""
    # nobody else's, and what is found alike is kept all the same
    assert gated.arrive(by(first, "c"))
    assert [(one.arrival, one.of) for one in OriginTable(gated.forge.ledger).found()][:3] == [(2, 1), (3, 1), (4, 1)]
    gated.erase(1)
    assert gated.arrive(by(first, "b", plugin=noisy(first.plugin, 0.1, seed=3)))


@pytest.mark.parametrize("amount", [0.0, 0.1])
def test_a_copy_that_comes_after_the_erasure_is_known(gated: Gated, tiny_base: BaseModule, amount: float) -> None:
    first = make_branch(tiny_base, 1, contributor="a")
    gated.arrive(first)
    gated.erase(1)
    (kept,) = OriginTable(gated.forge.ledger).origins()
    assert kept.images is None
    gated.again()
    assert "arrival 1 (a) are alike" in gated.arrive(by(first, "b", plugin=noisy(first.plugin, amount)))
    # its images' file is known by its digest alone
    assert "their distilled images are the same file" in gated.arrive(
        by(first, "c", plugin=make_plugin(tiny_base, 9), images=first.distilled)
    )


def test_an_arrival_that_was_never_compared_is_remembered_when_it_is_erased(
    gated: Gated, tiny_base: BaseModule
) -> None:
    first = make_branch(tiny_base, 1, contributor="a")
    gated.forge.admit(first, tiny_base)
    gated.erase(1)
    assert gated.arrive(by(first, "b"))


def test_an_erasure_right_after_a_restart_hides_no_earlier_arrival(gated: Gated, tiny_base: BaseModule) -> None:
    first = make_branch(tiny_base, 1, contributor="a")
    gated.arrive(first)
    gated.forge.admit(make_branch(tiny_base, 2, contributor="c"), tiny_base)
    gated.again()
    gated.erase(2)
    assert "arrival 1 (a) are alike" in gated.arrive(by(first, "b"))


def test_who_began_from_the_others_model_is_no_copy_where_the_maintainer_says_so(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    from medforge.aggregator.main_branch.main_branch import MainBranch

    forge = Forge.establish(tmp_path / "forge", tiny_base, choose_settings(method="fusion"), policy=Policy())
    first = make_branch(tiny_base, 1, contributor="a")
    forge.ledger.change(forge.admit(first, tiny_base).number, State.HELD)
    maintenance.accept(forge, "1") if forge.policy.tasks.open else None
    commit = MainBranch(forge, tiny_base).fold(1)
    gated = Gated(forge, tiny_base)
    patient = forge.policy = Policy(origin=OriginPolicy(begun=0.999))
    trained = noisy(first.plugin, 0.1)
    begun = by(first, "b", plugin=trained)
    said = Manifest.model_validate(begun.manifest.model_dump() | {"start": commit.item})
    assert gated.arrive(replace(begun, manifest=said)) == ""
    # what a branch claims to have begun from is no way around the default
    forge.policy = Policy()
    other = by(first, "e", plugin=noisy(first.plugin, 0.1, seed=4))
    assert gated.arrive(replace(other, manifest=other.manifest.model_copy(update={"start": commit.item})))
    forge.policy = patient
    # who hides it, or hardly moved, is asked
    assert gated.arrive(by(first, "c", plugin=trained))
    still = by(first, "d", plugin=noisy(first.plugin, 0.01))
    assert gated.arrive(replace(still, manifest=still.manifest.model_copy(update={"start": commit.item})))
    forge.close()


@pytest.mark.parametrize(
    "off", [Policy(origin=OriginPolicy(copies=False)), Policy(admission=Admission(behaviour=False))]
)
def test_a_maintainer_may_leave_it_out(gated: Gated, tiny_base: BaseModule, off: Policy) -> None:
    gated.forge.policy = off
    first = make_branch(tiny_base, 1, contributor="a")
    assert [gated.arrive(branch) for branch in (first, by(first, "b"))] == ["", ""]
    assert OriginTable(gated.forge.ledger).origins() == []


def test_how_many_plugins_are_read_does_not_grow_with_the_arrivals(
    gated: Gated, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_branch(tiny_base, 1, contributor="a")
    for number in range(30):
        gated.forge.admit(by(first, f"site {number}", plugin=noisy(first.plugin, 0.1, seed=number)), tiny_base)
    # those of an older forge are read when they are first needed, once
    assert len(OriginMemory(gated.forge, tiny_base).known(gated.branches)) == 30
    gated.again()
    read: list[str] = []
    plugin = StoredBranches.plugin

    def counted(self: StoredBranches, branch: str, manifest: Manifest) -> Plugin:
        read.append(branch)
        return plugin(self, branch, manifest)

    monkeypatch.setattr(StoredBranches, "plugin", counted)
    assert gated.arrive(by(first, "last", plugin=noisy(first.plugin, 0.1, seed=99)))
    assert len(set(read)) == NEAREST + 1
    read.clear()
    assert gated.arrive(make_branch(tiny_base, 50, contributor="stranger")) == ""
    assert len(set(read)) == 1
