"""Poisoned branches against a real forge with the default policy: refused, held, and what stays possible."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.maintenance import accept
from medforge.aggregator.forge.policy import OriginPolicy, Policy
from medforge.aggregator.ledger.records import State
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import InvalidBranch
from medforge.forge_item import ForgeItem
from tests.aggregator.centres import branch_of, exchanged, honest, noise, patterns, scaled, trained_on
from tests.making import make_plugin

GATED = choose_settings(coefficients="gated")
TASKS = ("a", "b")
Attack = Callable[[BaseModule], Branch]


def attack(base: BaseModule, task: str, plugin_of: str, **changes: bool) -> Branch:
    """An attacker's branch for a task: its own images (seed 7), which the base module knows, under changes."""
    dataset = patterns(base, task, seed=7, known=True)
    other = dataset if plugin_of == task else patterns(base, plugin_of, seed=7, known=True)
    sent = exchanged(dataset) if changes.get("exchange") else noise(base, dataset) if changes.get("noise") else dataset
    learned = sent if changes.get("train_on_it") else other
    return branch_of(base, trained_on(base, learned, steps=60), sent, task, "attacker")


def random_plugin(base: BaseModule, task: str = "a") -> Branch:
    """Small random changes leave the answers right where the base module knows the classes: explanation-security.md."""
    return branch_of(base, make_plugin(base), patterns(base, task, seed=7), task, "attacker")


def blown_up(base: BaseModule, factor: float) -> Branch:
    branch = attack(base, "a", "a")
    return branch_of(base, scaled(branch.plugin, factor), branch.distilled, "a", "attacker")


def sabotage(base: BaseModule) -> Branch:
    """Images like task b's under prompts of the attacker's own, and a plugin that answers b's prompts wrongly there."""
    near = patterns(base, "b", seed=7, known=True)
    dataset = replace(patterns(base, "c"), images=near.images)
    plugin = trained_on(base, dataset, exchanged(near), steps=100)
    return branch_of(base, plugin, dataset, "c", "attacker")


@pytest.fixture(scope="module")
def members(tiny_base: BaseModule) -> list[Branch]:
    return [honest(tiny_base, task, f"centre {task}", known=True) for task in TASKS]


@pytest.fixture
def main(tiny_base: BaseModule, members: list[Branch], tmp_path: Path) -> MainBranch:
    """The main branch of two honest centres, under the default policy but for copies, which all patterns look like."""
    policy = Policy(origin=OriginPolicy(copies=False))
    main = MainBranch(Forge.establish(tmp_path / "forge", tiny_base, GATED, policy=policy), tiny_base)
    for branch in members:
        main.forge.admit(branch, tiny_base)
    assert [commit.task for commit in main.fold_waiting()] == list(TASKS)
    return main


def accuracies(base: BaseModule, item: ForgeItem) -> dict[str, float]:
    """How many images of the honest tasks, which nobody sent, the model tells right."""
    found = {}
    for task in TASKS:
        fresh = patterns(base, task, seed=99, known=True)
        right = item.logits(base, fresh.images, fresh.prompts).argmax(dim=1) == fresh.labels
        found[task] = float(right.double().mean())
    return found


@pytest.mark.parametrize("factor", [100, 1e6, 1e30])
def test_blown_up_plugins_are_refused_at_the_door(main: MainBranch, tiny_base: BaseModule, factor: float) -> None:
    with pytest.raises(InvalidBranch, match="times its norm where 4 is admitted|not finite"):
        main.forge.admit(blown_up(tiny_base, factor), tiny_base)
    assert len(main.forge.ledger.arrivals()) == len(TASKS)


# nothing says which of two is right, so the honest one is held as well
CONTRADICTS = "it contradicts arrival 1 (centre a), which has classes of its own"
HELD: dict[str, tuple[Attack, str]] = {
    "labels exchanged": (lambda base: attack(base, "a", "a", exchange=True), "does not beat chance"),
    "labels exchanged, also in training": (
        lambda base: attack(base, "a", "a", exchange=True, train_on_it=True),
        CONTRADICTS,
    ),
    "random plugin": (random_plugin, "does not beat chance"),
    "plugin of another task": (lambda base: attack(base, "a", "b", exchange=True), "worse than chance|beat chance"),
    "noise": (lambda base: attack(base, "a", "a", noise=True), "does not beat chance"),
    "noise, trained on it": (
        lambda base: attack(base, "a", "a", noise=True, train_on_it=True),
        CONTRADICTS,
    ),
    "sabotage of another task": (sabotage, "lowers the accuracy on the distilled images of task 'b'"),
}
LEFT = {"sabotage of another task": [2]} | {name: [1] for name, (_, reason) in HELD.items() if reason == CONTRADICTS}


@pytest.mark.parametrize("name", HELD)
def test_poisoned_branches_are_held_with_a_reason_and_change_nothing(
    main: MainBranch, tiny_base: BaseModule, name: str
) -> None:
    make, reason = HELD[name]
    head = main.head()
    assert head is not None
    number = main.forge.admit(make(tiny_base), tiny_base).number
    late = main.forge.admit(honest(tiny_base, "d", "centre d", known=True), tiny_base).number

    left = LEFT.get(name, [])
    assert [commit.arrival for commit in main.fold_waiting()] == [*left, late]
    held = main.forge.ledger.arrival(number)
    assert held is not None
    assert held.state is State.HELD
    assert any(part in held.reason for part in reason.split("|")), held.reason
    assert main.log()[-1 - len(left)].parent == head.digest
    assert main.log()[-1].members == tuple(one for one in (1, 2, late) if one not in left)
    for one in left:
        accept(main.forge, str(one))
        main.fold_waiting()
    assert set(accuracies(tiny_base, main.checkout()).values()) == {1.0}


def test_what_the_maintainer_accepts_is_folded_and_can_hurt(main: MainBranch, tiny_base: BaseModule) -> None:
    before = accuracies(tiny_base, main.checkout())
    number = main.forge.admit(attack(tiny_base, "a", "a", exchange=True, train_on_it=True), tiny_base).number
    assert [(commit.kind, commit.arrival) for commit in main.fold_waiting()] == [("remove", 1)]
    for accepted in ("1", str(number)):
        accept(main.forge, accepted)
    assert [commit.arrival for commit in main.fold_waiting()] == [1, number]
    after = accuracies(tiny_base, main.checkout())
    # images of the task go to whichever of the two plugins lies nearer; the other task loses nothing
    assert after["a"] < before["a"]
    assert after["b"] == before["b"]


def test_exchanged_labels_of_a_new_task_hurt_nobody_else(main: MainBranch, tiny_base: BaseModule) -> None:
    before = accuracies(tiny_base, main.checkout())
    dataset = exchanged(patterns(tiny_base, "new", seed=7))
    plugin = trained_on(tiny_base, dataset)
    number = main.forge.admit(branch_of(tiny_base, plugin, dataset, "new", "attacker"), tiny_base).number
    # the base module knows nothing of these classes, and nobody else has them: this cannot be told from honest work
    assert [commit.arrival for commit in main.fold_waiting()] == [number]
    assert accuracies(tiny_base, main.checkout()) == before
