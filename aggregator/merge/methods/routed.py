"""Routed: branches are merged inside their task, and a router says which task an image belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from medforge.aggregator.coefficients.objective import ScoredImages, task_scores
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.discriminant_share import discriminant_share
from medforge.aggregator.merge.experts import expert_of, sites_of
from medforge.aggregator.merge.listing import Parameter
from medforge.aggregator.merge.method import FoldResult, MergeMethod, Round
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MEAN, SITES
from medforge.aggregator.merge.task_sums import TaskSums, terms_of, weight_of
from medforge.determinism import on_grid
from medforge.forge_item import Routed
from medforge.routed_task import RoutedTask
from medforge.task_card import TaskCard, TaskMember

# what is kept must not outlive a change of how it is computed
_COMPUTED = "routed 2"
# branches of a task whose distilled images a merge is scored on
_SCORED = 4
_FLOOR = 1e-12
Members = Mapping[str, tuple[ArrivedBranch, ...]]


@merge_method(
    name="routed",
    item="routed",
    summary="a router chooses the task, and the task's expert the class",
    source="ours; inside a task a mean weighted by images, or the rule that --expert names",
    modes=(("output", "gated"),),
    any_order=[("output", "gated")],
    parameters={
        "head": Parameter(
            0.2, 0.0, 1.0, "least share of the discriminant in P(class), where sites send class statistics"
        )
    },
)
class RoutedMethod(MergeMethod):
    """Merge the arriving branch into its task's expert and sums; the other tasks stay as they are."""

    growth = "flat"

    def fold(self, merge_round: Round) -> FoldResult:
        """Run one merge round; a branch's coefficient is its share in its task's weight."""
        members = _by_task(merge_round)
        tasks = [_kept_task(merge_round, name, of_task) for name, of_task in members.items()]
        routed = Routed(tuple(tasks))
        return FoldResult(routed, dict(routed.shares), task_scores(_scored(merge_round, routed, members)))


def _by_task(merge_round: Round) -> Members:
    grouped: dict[str, list[ArrivedBranch]] = defaultdict(list)
    for one in merge_round.canonical:
        grouped[one.task].append(one)
    return {name: tuple(grouped[name]) for name in sorted(grouped)}


def _kept_task(merge_round: Round, name: str, members: Sequence[ArrivedBranch]) -> RoutedTask:
    parts = [*_circumstances(merge_round), merge_round.settings.model_dump_json(), *(one.digest for one in members)]
    return merge_round.probabilities.tasks.get(name, parts, lambda: _task(merge_round, name, members))


def _task(merge_round: Round, name: str, members: Sequence[ArrivedBranch]) -> RoutedTask:
    base, cache, settings = merge_round.base, merge_round.probabilities, merge_round.settings
    with_changes = settings.expert in (MEAN, SITES)
    parts = [*_circumstances(merge_round), name, str(with_changes)]
    sums = TaskSums(
        tuple(members), cache.sums.over(parts, members, lambda one: terms_of(one, base, cache, with_changes))
    )
    sites = sites_of(members, sums, base, cache) if settings.expert == SITES else ()
    card = TaskCard(
        name=name,
        modality=sums.modality,
        classes=sums.classes,
        members=tuple(TaskMember(branch=one.digest, weight=weight_of(one.manifest.training_images)) for one in members),
        temperature=sums.temperature,
        distances=sums.distances,
        sites=tuple(site.card for site in sites),
    )
    task = RoutedTask(card, sums.spread, expert_of(merge_round, members, sums), sites)
    if not sums.informed:
        return task
    share = discriminant_share(task, members, base, cache, settings.parameters["head"])
    return replace(task, card=card.model_copy(update={"head": share * sums.informed}))


def _circumstances(merge_round: Round) -> list[str]:
    base = merge_round.base
    return [_COMPUTED, base.fingerprint, str(base.dtype), base.device.type]


def _scored(merge_round: Round, routed: Routed, members: Members) -> list[ScoredImages]:
    """Return what is said of a few branches' distilled images of every task, those with the first digests."""

    def scored(on: ArrivedBranch) -> ScoredImages:
        return ScoredImages(on.task, on_grid(_outputs(merge_round, routed, on)), on.labels())

    some = [on for of_task in members.values() for on in of_task[:_SCORED]]
    return merge_round.base.side_by_side(scored, some)


def _outputs(merge_round: Round, routed: Routed, on: ArrivedBranch) -> Tensor:
    """Return log-probabilities [n, C + 1] of a branch's own prompts, and of the image belonging to another task."""
    cache = merge_round.probabilities
    embeddings = cache.embeddings(on)
    own = {task.card.name for task in routed.route(embeddings, on.prompts).tasks}
    everywhere = routed.route(embeddings)
    inside = torch.tensor([task.card.name in own for task in everywhere.tasks])
    here, elsewhere = (everywhere.probabilities[:, part].sum(dim=1, keepdim=True) for part in (inside, ~inside))
    classes = routed.answer(merge_round.base, embeddings, on.prompts, cache.asking(on)).double()
    return torch.cat([here.clamp_min(_FLOOR).log() + classes, elsewhere.clamp_min(_FLOOR).log()], dim=1)
