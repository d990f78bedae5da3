"""The expert of a task: what its branches are merged into, one network."""

from __future__ import annotations

from collections.abc import Sequence

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.catalogue import listing_of
from medforge.aggregator.merge.choosing import choose_settings
from medforge.aggregator.merge.folding import refold
from medforge.aggregator.merge.loading import method_of
from medforge.aggregator.merge.method import Round
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.settings import MEAN, SITES, MethodSettings
from medforge.aggregator.merge.task_sums import TaskSums, terms_of
from medforge.aggregator.merge.training_free import NamedPlugin, TrainingFree
from medforge.base_module import BaseModule
from medforge.forge_item import ForgeItem, FusedPlugin, WeightChange
from medforge.low_rank import svd_of
from medforge.plugin import Plugin
from medforge.routed_task import Expert
from medforge.svd_plugin import svd_plugin
from medforge.task_card import SiteCard
from medforge.task_site import TaskSite

EXPERT_RANKS = 64
"""The most ranks of an expert at a site: four plugins of the default rank, exactly; of more, the largest part."""


def expert_of(merge_round: Round, members: Sequence[ArrivedBranch], sums: TaskSums) -> Expert:
    """Merge the branches of a task, sorted by digest, by the rule that the settings name.

    A single branch is its own expert, to the byte. Raises InvalidBranch where they cannot be merged.
    """
    if len(members) == 1:
        return FusedPlugin(members[0].plugin())
    if merge_round.settings.expert in (MEAN, SITES):
        return FusedPlugin(mean_plugin(sums, merge_round.base))
    return _by_method(merge_round, members)


def mean_plugin(sums: TaskSums, base: BaseModule) -> Plugin:
    """Return the weighted mean of a task's weight changes as one SVD-LoRA of at most 64 ranks a site.

    A plugin and not the mean itself, which is dense: on ViT-B/16 that would be six times the bytes at every commit.
    """
    largest = base.side_by_side(lambda site: svd_of(sums.mean_change(base, site)).first(EXPERT_RANKS), base.sites)
    return svd_plugin(zip(base.sites, largest, strict=True), base.fingerprint, energy=1.0)


def sites_of(
    members: Sequence[ArrivedBranch], sums: TaskSums, base: BaseModule, cache: ProbabilityCache
) -> tuple[TaskSite, ...]:
    """Return the sites of a task's branches, sorted by digest, with their plugins as they came; none of one branch.

    Of every branch the statistics are read at every arrival: what sites have apart is no sum.
    """
    if len(members) == 1:
        return ()
    sites = []
    for one in members:
        spread = TaskSums(sums.members, terms_of(one, base, cache, False)).spread
        said = one.manifest
        card = SiteCard(branch=one.digest, temperature=said.temperature or 1.0, distances=said.distances)
        sites.append(TaskSite(card, spread.means, spread.weights, FusedPlugin(one.plugin())))
    return tuple(sites)


def inner_settings(settings: MethodSettings) -> MethodSettings:
    """Return the settings by which a registered method merges the branches of one task: its defaults, and the seed.

    Raises InvalidInput for a method that makes no single network.
    """
    level, coefficients = next(mode for mode in listing_of(settings.expert).modes if mode[0] == "layer")
    return choose_settings(method=settings.expert, level=level, coefficients=coefficients, seed=settings.seed)


def _by_method(merge_round: Round, members: Sequence[ArrivedBranch]) -> Expert:
    base, settings = merge_round.base, inner_settings(merge_round.settings)
    method = method_of(settings.method)
    item: ForgeItem
    if isinstance(method, TrainingFree):
        item = method.merge([NamedPlugin(one.digest, one.plugin()) for one in members], base, settings)
    else:
        item = refold(base, settings, members, merge_round.probabilities).item
    if isinstance(item, FusedPlugin | WeightChange):
        return item
    return WeightChange.of(base, base.steadily(lambda: item.weight_change(base)))
