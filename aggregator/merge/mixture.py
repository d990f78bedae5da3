"""MedForge-Mixture: outputs are weighted and added, the plugins stay as they are."""

from collections.abc import Callable, Mapping, Sequence
from math import inf

import torch
from torch import Tensor

from medforge.aggregator.arrived import Arrived
from medforge.aggregator.coefficients.gated import choices, chosen_shares
from medforge.aggregator.coefficients.joint import joint_layers, joint_outputs
from medforge.aggregator.coefficients.objective import Scored, mean_loss, penalty, task_scores
from medforge.aggregator.coefficients.sequential import compose, normalise, search_pair
from medforge.aggregator.coefficients.weights import WeightScorer, weigh
from medforge.aggregator.merge.method import Folded, MergeMethod, Round
from medforge.forge_item import Level, Member, Mixture
from medforge.gate import PrototypeGate
from medforge.mixing import mix


class MixtureMethod(MergeMethod):
    """Weigh every arrived plugin, at the level and by the coefficients that the settings name."""

    def fold(self, merge_round: Round) -> Folded:
        """Run one merge round.

        Coefficients are composed products (sequential), refitted weights (joint), or the mean over tasks of the share
        of distilled images that the gate sends to each branch (gated: a record, the gate itself decides by the image).
        """
        settings = merge_round.settings
        return _FOLDS[settings.level, settings.coefficients](merge_round)


def _output_sequential(merge_round: Round) -> Folded:
    """Search (w, w′) on cached probabilities.

    The normalised mixture is the same for every multiple of a pair, so a penalty on the pair as it stands would draw
    it to zero, round after round. The pair is therefore scaled to the sum 1 before it is scored and kept: the
    coefficients always sum to 1, and the next arrival meets a main branch of its own scale.
    """
    arrived = merge_round.arrived
    if merge_round.first:
        return _weighed_outputs(merge_round, arrived, {merge_round.arriving.digest: 1.0})
    datasets = [(on.task, _stacked(merge_round, arrived, on), on.branch().distilled.labels) for on in arrived]
    previous = _vector(merge_round.coefficients, arrived[:-1])
    # Σ c_k p_k of the main branch is fixed during the search, so a candidate costs one sum of two
    pairs = [
        (task, torch.stack([torch.einsum("k,knc->nc", previous, stack[:-1]), stack[-1]]), labels)
        for task, stack, labels in datasets
    ]

    def objective(w: float, w_arriving: float) -> float:
        weights = normalise((w, w_arriving))
        if weights is None:
            return inf
        both = torch.tensor(weights, dtype=torch.float64)
        scores = task_scores(Scored(task, mix(stack, both), labels) for task, stack, labels in pairs)
        return mean_loss(scores) + penalty(weights, merge_round.settings.l1)

    pair = normalise(search_pair(objective, merge_round.settings, merge_round.seed)) or (1.0, 0.0)
    composed = compose(dict(merge_round.coefficients), merge_round.arriving.digest, pair)
    return _weighed_outputs(merge_round, arrived, composed)


def _output_joint(merge_round: Round) -> Folded:
    order = merge_round.canonical
    weights = joint_outputs(
        [[merge_round.probabilities.probabilities(of, on) for of in order] for on in order],
        [on.branch().distilled.labels for on in order],
        [on.task for on in order],
    )
    return _weighed_outputs(merge_round, order, dict(zip((a.digest for a in order), weights, strict=True)))


def _gated(merge_round: Round) -> Folded:
    order = merge_round.canonical
    labels = [on.branch().distilled.labels for on in order]
    embeddings = [merge_round.probabilities.embeddings(on) for on in order]
    gate = PrototypeGate.fit(embeddings, labels)
    chosen = choices(gate, embeddings)
    shares = chosen_shares(chosen, [on.task for on in order], len(order))
    scored = [
        Scored(on.task, _routed(merge_round, order, on, choice), label)
        for on, choice, label in zip(order, chosen, labels, strict=True)
    ]
    coefficients = dict(zip((a.digest for a in order), shares, strict=True))
    return Folded(_mixture(order, coefficients, "output", gate), coefficients, task_scores(scored))


def _layer_sequential(merge_round: Round) -> Folded:
    base, arrived = merge_round.base, merge_round.arrived
    if merge_round.first:
        return _weighed_layers(merge_round, arrived, {merge_round.arriving.digest: 1.0})
    scorer = WeightScorer(base, arrived)
    main = _item(merge_round).fold(base)
    arriving = merge_round.arriving.branch().plugin.deltas(base)

    def objective(w: float, w_arriving: float) -> float:
        deltas = {site: w * main[site] + w_arriving * arriving[site] for site in main}
        return mean_loss(scorer.scores(deltas)) + penalty((w, w_arriving), merge_round.settings.l1)

    pair = search_pair(objective, merge_round.settings, merge_round.seed)
    composed = compose(dict(merge_round.coefficients), merge_round.arriving.digest, pair)
    return _weighed_layers(merge_round, arrived, composed)


def _layer_joint(merge_round: Round) -> Folded:
    base, order = merge_round.base, merge_round.canonical
    if merge_round.first:
        return _weighed_layers(merge_round, order, {merge_round.arriving.digest: 1.0})
    scorer = WeightScorer(base, order)
    plugins = [a.branch().plugin for a in order]
    stacks = {
        site: torch.stack([plugin.delta(site, base).to(base.device) for plugin in plugins]) for site in plugins[0].sites
    }
    found = joint_layers(
        lambda values: mean_loss(scorer.scores(weigh(stacks, values))),
        lambda values: scorer.gradient(stacks, values),
        len(order),
        merge_round.settings,
    )
    return _weighed_layers(merge_round, order, dict(zip((a.digest for a in order), found, strict=True)))


def _weighed_outputs(merge_round: Round, order: Sequence[Arrived], coefficients: dict[str, float]) -> Folded:
    weights = _vector(coefficients, order)
    scored = [
        Scored(on.task, mix(_stacked(merge_round, order, on), weights), on.branch().distilled.labels) for on in order
    ]
    return Folded(_mixture(order, coefficients, "output", None), coefficients, task_scores(scored))


def _weighed_layers(merge_round: Round, order: Sequence[Arrived], coefficients: dict[str, float]) -> Folded:
    item = _mixture(order, coefficients, "layer", None)
    return Folded(item, coefficients, WeightScorer(merge_round.base, order).scores(item.fold(merge_round.base)))


def _mixture(
    order: Sequence[Arrived], coefficients: Mapping[str, float], level: Level, gate: PrototypeGate | None
) -> Mixture:
    members = tuple(Member(a.digest, a.branch().plugin, coefficients[a.digest]) for a in order)
    return Mixture(members, level, gate)


def _item(merge_round: Round) -> Mixture:
    item = merge_round.main()
    assert isinstance(item, Mixture), "a forge keeps one merge method for good"
    return item


def _stacked(merge_round: Round, order: Sequence[Arrived], on: Arrived) -> Tensor:
    """What every plugin says about one dataset; float64 [K, n, C]."""
    return torch.stack([merge_round.probabilities.probabilities(of, on) for of in order]).double()


def _routed(merge_round: Round, order: Sequence[Arrived], on: Arrived, choice: Tensor) -> Tensor:
    """Log-probabilities [n, C] where each image is answered by its chosen member; the others are never asked."""
    answers = torch.empty(len(choice), len(on.manifest.prompts), dtype=torch.float64)
    for index in sorted(set(choice.tolist())):
        rows = choice == index
        answers[rows] = merge_round.probabilities.probabilities(order[index], on)[rows].double()
    return mix(answers.unsqueeze(0), torch.ones(1, dtype=torch.float64))


def _vector(coefficients: Mapping[str, float], order: Sequence[Arrived]) -> Tensor:
    return torch.tensor([coefficients[a.digest] for a in order], dtype=torch.float64)


_FOLDS: dict[tuple[str, str], Callable[[Round], Folded]] = {
    ("output", "sequential"): _output_sequential,
    ("output", "joint"): _output_joint,
    ("output", "gated"): _gated,
    ("layer", "sequential"): _layer_sequential,
    ("layer", "joint"): _layer_joint,
}

METHOD = MixtureMethod()
