"""The published scripts' objective, against a direct transcription of it."""

from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.coefficients.objective import ScoredImages, search_loss
from medforge.aggregator.coefficients.search import search_weights
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.factors import combine_factors
from medforge.aggregator.merge.settings import MethodSettings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.determinism import GRID
from medforge.forge_item import Member, Mixture
from medforge.plugin import Plugin
from tests.aggregator.forges import LISTINGS, Mode, branches, fold_in_memory

Weights = list[float]
REFERENCE = [(name, *mode) for name, listing in LISTINGS.items() for mode in sorted(listing.reference)]


def settings_of(mode: Mode, budget: int = 40) -> MethodSettings:
    method, level, coefficients = mode
    return choose_settings(method=method, level=level, coefficients=coefficients, objective="reference", budget=budget)


def cross_entropy(outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """What a framework's cross-entropy does with any numbers it is given: it takes them for logits."""
    losses = []
    for row, label in zip(outputs.tolist(), labels.tolist(), strict=True):
        losses.append(log(sum(exp(x) for x in row)) - row[label])
    return sum(losses) / len(losses)


def softmaxed(base: BaseModule, on: Branch, deltas: dict[str, torch.Tensor]) -> torch.Tensor:
    embeddings = base.embed(on.distilled.images, deltas)
    return base.logits(embeddings, on.distilled.prompts).double().softmax(dim=1)


def of_plugin(base: BaseModule, plugin: Plugin, arriving: list[Branch], weights: Weights) -> float:
    deltas = plugin.deltas(base)
    losses = [cross_entropy(softmaxed(base, on, deltas), on.distilled.labels) for on in arriving]
    return sum(losses) / len(losses) + 0.05 * sum(map(abs, weights)) / len(weights)


def of_outputs(base: BaseModule, arriving: list[Branch], composed: Weights) -> float:
    losses = []
    for on in arriving:
        outputs = sum(c * softmaxed(base, on, of.plugin.deltas(base)) for c, of in zip(composed, arriving, strict=True))
        assert isinstance(outputs, torch.Tensor)
        losses.append(cross_entropy(outputs, on.distilled.labels))
    return sum(losses) / len(losses) + 0.05 * sum(map(abs, composed)) / len(composed)


def of_layers(base: BaseModule, arriving: list[Branch], composed: Weights) -> float:
    deltas = {
        site: torch.stack([c * b.plugin.delta(site, base) for c, b in zip(composed, arriving, strict=True)]).sum(dim=0)
        for site in base.sites
    }
    losses = [cross_entropy(softmaxed(base, on, deltas), on.distilled.labels) for on in arriving]
    return sum(losses) / len(losses) + 0.05 * sum(map(abs, composed)) / len(composed)


@given(st.floats(0, 1), st.sampled_from([0, 1]))
def test_two_classes_keep_it_between_its_bounds(p: float, label: int) -> None:
    log_probabilities = torch.tensor([[p, 1 - p]], dtype=torch.float64).log()
    value = search_loss([ScoredImages("task", log_probabilities, torch.tensor([label]))], "reference")
    # the value lies on a grid
    assert log(1 + exp(-1)) - GRID / 2 <= value <= log(1 + exp(1)) + GRID / 2
    assert value == pytest.approx(cross_entropy(torch.tensor([[p, 1 - p]]), torch.tensor([label])), abs=1e-6)


def search(base: BaseModule, arriving: list[Branch], mode: Mode, budget: int) -> Weights:
    """The coefficients after three arrivals, by the transcribed objectives."""
    settings, composed, main = settings_of(mode, budget), [1.0], arriving[0].plugin
    if mode[0] == "lorahub":
        order = sorted(arriving, key=lambda branch: branch.digest)
        plugins = [branch.plugin for branch in order]
        found = search_weights(
            lambda w: of_plugin(base, combine_factors(plugins, w, base), order, w), 3, settings, seed=0
        )
        assert found is not None
        by_digest = dict(zip((branch.digest for branch in order), found, strict=True))
        return [by_digest[branch.digest] for branch in arriving]
    for count in (2, 3):
        here, before, latest = arriving[:count], composed, arriving[count - 1].plugin

        def objective(w: Weights, here: list[Branch] = here, before: Weights = before, main: Plugin = main) -> float:
            after = [w[0] * c for c in before] + [w[1]]
            if mode[0] == "fusion":
                return of_plugin(base, combine_factors([main, here[-1].plugin], w, base), here, w)
            return (of_outputs if mode[1] == "output" else of_layers)(base, here, after)

        pair = search_weights(objective, 2, settings, seed=0)
        assert pair is not None
        composed = [pair[0] * c for c in composed] + [pair[1]]
        main = combine_factors([main, latest], pair, base)
    return composed


@pytest.mark.parametrize("mode", REFERENCE, ids="-".join)
def test_the_coefficients_are_those_of_the_transcribed_objective(tiny_base: BaseModule, mode: Mode) -> None:
    arriving = branches(tiny_base)
    # few evaluations, so that rounding cannot lead the two searches apart
    result = fold_in_memory(tiny_base, settings_of(mode, budget=8), arriving)[-1]
    found = [result.coefficients[branch.digest] for branch in arriving]
    assert found == pytest.approx(search(tiny_base, arriving, mode, budget=8), abs=1e-3)


@pytest.mark.parametrize("mode", REFERENCE, ids="-".join)
def test_the_two_objectives_do_not_agree(tiny_base: BaseModule, mode: Mode) -> None:
    arriving, published = branches(tiny_base), settings_of(mode)
    ours = published.model_copy(update={"objective": "cross-entropy"})
    one, other = (fold_in_memory(tiny_base, settings, arriving)[-1].coefficients for settings in (published, ours))
    assert max(abs(one[digest] - other[digest]) for digest in one) > 1e-2


@pytest.mark.parametrize("mode", REFERENCE, ids="-".join)
def test_metrics_are_the_real_cross_entropy_and_accuracy_of_the_item(tiny_base: BaseModule, mode: Mode) -> None:
    arriving = branches(tiny_base)
    result = fold_in_memory(tiny_base, settings_of(mode), arriving)[-1]
    for branch in arriving:
        logits = result.item.logits(tiny_base, branch.distilled.images, branch.distilled.prompts)
        score = result.metrics[branch.manifest.task]
        loss = cross_entropy(logits.double().log_softmax(dim=1), branch.distilled.labels)
        assert score.loss == pytest.approx(loss, abs=1e-3)
        assert score.acc == float((logits.argmax(1) == branch.distilled.labels).float().mean())


@pytest.mark.parametrize("coefficients", [(-0.9, 0.2), (1.5, 1.5), (-1.5, -0.1), (1.2, -1.5)])
def test_an_item_predicts_the_class_of_the_largest_weighted_sum(
    tiny_base: BaseModule, coefficients: tuple[float, float]
) -> None:
    arriving = branches(tiny_base, 2)
    members = tuple(Member(b.digest, b.plugin, c) for b, c in zip(arriving, coefficients, strict=True))
    for on in arriving:
        outputs = torch.stack([m.coefficient * softmaxed(tiny_base, on, m.plugin.deltas(tiny_base)) for m in members])
        logits = Mixture(members, "output").logits(tiny_base, on.distilled.images, on.distilled.prompts)
        assert logits.argmax(dim=1).tolist() == outputs.sum(dim=0).argmax(dim=1).tolist()
