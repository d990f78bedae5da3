"""A branch of one task that has another task's images, by where the tasks of a main branch have theirs."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from medforge.aggregator.forge.policy import Admission
from medforge.aggregator.main_branch.examination import BranchHeld, Examination
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import refold
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.branch import Branch
from tests.aggregator.centres import branch_of, honest, patterns


def imitation(base: BaseModule) -> Branch:
    """Images of task a, under the prompts of task b."""
    images = replace(patterns(base, "a", seed=5), prompts=patterns(base, "b").prompts)
    # what its plugin learned plays no part
    return branch_of(base, honest(base, "a").plugin, images, "b", "attacker")


def examined(base: BaseModule, members: Sequence[Branch], arriving: Branch, admission: Admission) -> None:
    cache = ProbabilityCache(base, None)
    arrived = [ArrivedBranch.of(number, one) for number, one in enumerate((*members, arriving), start=1)]
    head = refold(base, choose_settings(), arrived[:-1], cache).head
    Examination(base, cache, admission).belonging(arrived, head)


def test_another_tasks_images_are_held_and_its_own_are_not(tiny_base: BaseModule) -> None:
    members = [honest(tiny_base, "a", "ann"), honest(tiny_base, "b", "bob")]
    with pytest.raises(BranchHeld, match="16 of its 16 distilled images lie where task 'a' has its images, and not"):
        examined(tiny_base, members, imitation(tiny_base), Admission())
    examined(tiny_base, members, imitation(tiny_base), Admission(behaviour=False))
    for seed, task in ((1, "a"), (2, "b"), (3, "c")):
        examined(tiny_base, members, honest(tiny_base, task, "cat", seed=seed), Admission())


def test_who_came_first_with_another_tasks_images_does_not_have_the_honest_held(tiny_base: BaseModule) -> None:
    # to the router neither the squatter's images nor the honest centre's are more one task's than the other's
    members = [honest(tiny_base, "a", "ann"), imitation(tiny_base)]
    examined(tiny_base, members, honest(tiny_base, "b", "bob"), Admission())
