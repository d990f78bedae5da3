"""The mixture of whole-model class probabilities: one forward pass a plugin, or a gate that chooses one."""

from collections.abc import Mapping, Sequence
from math import inf

import torch
from torch import Tensor

from medforge.aggregator.coefficients.gated import choices, chosen_shares
from medforge.aggregator.coefficients.joint import joint_outputs
from medforge.aggregator.coefficients.objective import ScoredImages, mean_loss, penalty, task_scores
from medforge.aggregator.coefficients.sequential import Pair, compose, normalise, search_pair
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.method import FoldResult, Round
from medforge.determinism import on_grid
from medforge.forge_item import Mixture
from medforge.mixing import mix
from medforge.prototype_gate import PrototypeGate

# (task, class probabilities of the main branch and of the arriving plugin [2, n, C], labels [n])
Pairs = Sequence[tuple[str, Tensor, Tensor]]


def sequential(merge_round: Round) -> FoldResult:
    """Search (w, w′) on cached probabilities, under our objective or the published scripts'."""
    arrived, previous = merge_round.arrived, merge_round.coefficients
    digest = merge_round.arriving.digest
    if merge_round.first:
        return _weighed(merge_round, arrived, {digest: 1.0}, arrived)
    weights, on_which = _vector(previous, arrived[:-1]), merge_round.looked_at
    # Σ c_k p_k of the main branch is fixed during the search, so a candidate costs one sum of two
    stacks = [(on.task, _stacked(merge_round, arrived, on), on.labels()) for on in on_which]
    pairs = [
        (task, torch.stack([torch.einsum("k,knc->nc", weights, stack[:-1]), stack[-1]]), labels)
        for task, stack, labels in stacks
    ]
    search = _search_normalised if merge_round.settings.objective == "cross-entropy" else _search_reference
    return _weighed(merge_round, arrived, compose(previous, digest, search(merge_round, pairs)), on_which)


def joint(merge_round: Round) -> FoldResult:
    """Refit all coefficients together (see `joint_outputs`)."""
    order = merge_round.canonical
    weights = joint_outputs(
        [[merge_round.probabilities.probabilities(of, on) for of in order] for on in order],
        [on.labels() for on in order],
        [on.task for on in order],
    )
    return _weighed(merge_round, order, dict(zip((a.digest for a in order), weights, strict=True)), order)


def gated(merge_round: Round) -> FoldResult:
    """Fit the gate to the distilled images of everything that has arrived."""
    order = merge_round.canonical
    labels = [on.labels() for on in order]
    embeddings = [merge_round.probabilities.embeddings(on) for on in order]
    gate = PrototypeGate.fit(embeddings, labels)
    chosen = choices(gate, embeddings)
    shares = chosen_shares(chosen, [on.task for on in order], len(order))
    scored = [
        ScoredImages(on.task, _routed(merge_round, order, on, choice), label)
        for on, choice, label in zip(order, chosen, labels, strict=True)
    ]
    coefficients = dict(zip((a.digest for a in order), shares, strict=True))
    return FoldResult(_mixture(order, coefficients, gate), coefficients, task_scores(scored))


def _search_normalised(merge_round: Round, pairs: Pairs) -> Pair:
    """Minimise the cross-entropy of the normalised mixture.

    It is the same for every multiple of a pair, so a penalty on the pair as it stands would draw it to zero, round
    after round. The pair is therefore scaled to the sum 1 before it is scored and kept: the coefficients always sum to
    1, and the next arrival meets a main branch of its own scale.
    """

    def objective(w: float, w_arriving: float) -> float:
        weights = normalise((w, w_arriving))
        if weights is None:
            return inf
        both = torch.tensor(weights, dtype=torch.float64)
        scores = task_scores(ScoredImages(task, on_grid(mix(stack, both)), labels) for task, stack, labels in pairs)
        return mean_loss(scores) + penalty(weights, merge_round.settings.l1)

    return normalise(search_pair(objective, merge_round.settings, merge_round.seed)) or (1.0, 0.0)


def _search_reference(merge_round: Round, pairs: Pairs) -> Pair:
    """Minimise what the published scripts do: Σ c_k p_k goes into cross-entropy as if it were logits.

    c are the composed coefficients, as they are, and all of them are penalised.
    """
    digest = merge_round.arriving.digest

    def objective(w: float, w_arriving: float) -> float:
        composed = compose(merge_round.coefficients, digest, (w, w_arriving))
        both = torch.tensor((w, w_arriving), dtype=torch.float64)
        scores = task_scores(
            ScoredImages(task, on_grid(torch.einsum("k,knc->nc", both, stack).log_softmax(dim=1)), labels)
            for task, stack, labels in pairs
        )
        return mean_loss(scores) + penalty(tuple(composed.values()), merge_round.settings.l1)

    return search_pair(objective, merge_round.settings, merge_round.seed)


def _weighed(
    merge_round: Round,
    order: Sequence[ArrivedBranch],
    coefficients: dict[str, float],
    on_which: Sequence[ArrivedBranch],
) -> FoldResult:
    """Make the mixture of branches in the given order, and score it on the images of some of them."""
    weights = _vector(coefficients, order)
    scored = [
        ScoredImages(on.task, on_grid(mix(_stacked(merge_round, order, on), weights)), on.labels()) for on in on_which
    ]
    return FoldResult(_mixture(order, coefficients, None), coefficients, task_scores(scored))


def _mixture(order: Sequence[ArrivedBranch], coefficients: Mapping[str, float], gate: PrototypeGate | None) -> Mixture:
    return Mixture(tuple(a.member(coefficients[a.digest]) for a in order), "output", gate)


def _stacked(merge_round: Round, order: Sequence[ArrivedBranch], on: ArrivedBranch) -> Tensor:
    """Return what every plugin says about one dataset; float64 [K, n, C]."""
    return torch.stack([merge_round.probabilities.probabilities(of, on) for of in order]).double()


def _routed(merge_round: Round, order: Sequence[ArrivedBranch], on: ArrivedBranch, choice: Tensor) -> Tensor:
    """Return log-probabilities [n, C] where each image is answered by its chosen member; the others are never asked."""
    answers = torch.empty(len(choice), len(on.manifest.prompts), dtype=torch.float64)
    for index in sorted(set(choice.tolist())):
        rows = choice == index
        answers[rows] = merge_round.probabilities.probabilities(order[index], on)[rows].double()
    return on_grid(mix(answers.unsqueeze(0), torch.ones(1, dtype=torch.float64)))


def _vector(coefficients: Mapping[str, float], order: Sequence[ArrivedBranch]) -> Tensor:
    return torch.tensor([coefficients[a.digest] for a in order], dtype=torch.float64)
