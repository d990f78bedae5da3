from math import log

import pytest
import torch

from medforge.aggregator.coefficients.labelled_images import LabelledImages
from medforge.aggregator.coefficients.settings import Objective
from medforge.aggregator.coefficients.weights import WeightScorer
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.factors import combine_factors
from medforge.aggregator.merge.method import FoldResult
from medforge.aggregator.merge.methods.lorahub import lorahub
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import InvalidBranch
from medforge.forge_item import FusedPlugin, Mixture
from medforge.plugin import Plugin, PluginKind
from tests.aggregator.forges import branches, fold_in_memory
from tests.making import make_plugin

LORAHUB = choose_settings(method="lorahub")


def folded(base: BaseModule, arriving: list[Branch], method: str) -> FoldResult:
    return fold_in_memory(base, choose_settings(method=method), arriving)[-1]


def raw(base: BaseModule, task: str, seed: int, count: int) -> LabelledImages:
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, base.image_size, base.image_size, generator=random)
    return LabelledImages(task, images, torch.arange(count) % 2, (f"benign {task}", f"malignant {task}"))


def written_out(base: BaseModule, deltas: dict[str, torch.Tensor], on: LabelledImages, again: bool) -> float:
    """The mean cross-entropy of one dataset, image by image; softmaxed once more where asked."""
    losses = []
    for image, label in zip(on.images.float(), on.labels.tolist(), strict=True):
        outputs = base.logits(base.embed(image[None], deltas), on.prompts)[0].double().softmax(0)
        outputs = outputs.softmax(0) if again else outputs
        losses.append(-log(float(outputs[label])))
    return sum(losses) / len(losses)


def test_the_factor_average_is_the_mean_of_b_times_the_mean_of_a(tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base)
    result = folded(tiny_base, arriving, "factor-average")
    assert isinstance(result.item, FusedPlugin)
    plugins = [branch.plugin for branch in arriving]
    root = plugins[0].settings.scaling ** 0.5
    for site in tiny_base.sites:
        down = sum(root * p.factors[site].down for p in plugins) / 3
        up = sum(root * p.factors[site].up for p in plugins) / 3
        torch.testing.assert_close(result.item.plugin.delta(site, tiny_base), up @ down, rtol=1e-5, atol=1e-5)
    assert set(result.coefficients.values()) == {1 / 3}


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_the_soup_is_the_mean_of_the_changed_weights(tiny_base: BaseModule, kind: PluginKind) -> None:
    arriving = branches(tiny_base, kind=kind)
    result = folded(tiny_base, arriving, "model-soup")
    assert isinstance(result.item, Mixture)
    merged = result.item.weight_change(tiny_base)
    for site in tiny_base.sites:
        frozen = tiny_base.weight(site)
        changed = [frozen + branch.plugin.delta(site, tiny_base) for branch in arriving]
        torch.testing.assert_close(frozen + merged[site], sum(changed) / 3, rtol=1e-5, atol=1e-5)


def test_the_mean_of_factors_is_not_the_mean_of_weight_changes(tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base, 2)
    factors, soup = (folded(tiny_base, arriving, method).item for method in ("factor-average", "model-soup"))
    assert isinstance(factors, FusedPlugin)
    assert isinstance(soup, Mixture)
    site = tiny_base.sites[0]
    a, b = factors.plugin.delta(site, tiny_base), soup.weight_change(tiny_base)[site]
    assert (a - b).abs().max() > 1e-2


@pytest.mark.parametrize("objective", ["cross-entropy", "reference"])
def test_the_scorers_loss_is_the_mean_over_tasks_written_out(tiny_base: BaseModule, objective: Objective) -> None:
    datasets = [raw(tiny_base, "one", 0, 3), raw(tiny_base, "two", 1, 6)]
    deltas = make_plugin(tiny_base).deltas(tiny_base)
    scorer = WeightScorer(tiny_base, [lambda d=d: d for d in datasets])
    expected = sum(written_out(tiny_base, deltas, d, objective == "reference") for d in datasets) / 2
    assert scorer.loss(deltas, objective) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_lorahub_searches_on_whatever_images_it_is_given(tiny_base: BaseModule, kind: PluginKind) -> None:
    plugins: list[Plugin] = [make_plugin(tiny_base, seed, kind=kind) for seed in range(3)]
    datasets = [raw(tiny_base, f"task {seed}", seed, 4 + seed) for seed in range(3)]
    scorer = WeightScorer(tiny_base, [lambda d=d: d for d in datasets])
    plugin, weights = lorahub(plugins, scorer, LORAHUB, 0, tiny_base)

    def objective(values: list[float]) -> float:
        deltas = combine_factors(plugins, values, tiny_base).deltas(tiny_base)
        loss = sum(written_out(tiny_base, deltas, d, again=False) for d in datasets) / 3
        return loss + 0.05 * sum(map(abs, values)) / 3

    corners = [[0.5 * (k == other) for k in range(3)] for other in range(3)]
    assert objective(weights) < min(objective(values) for values in [[0.0] * 3, *corners])
    assert all(abs(weight) <= 1.5 for weight in weights)
    assert plugin.digest == combine_factors(plugins, weights, tiny_base).digest


def test_lorahub_refits_every_weight_on_the_distilled_data_of_everything_that_arrived(tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base)
    result = folded(tiny_base, arriving, "lorahub")
    order = sorted(arriving, key=lambda branch: branch.digest)
    scorer = WeightScorer(tiny_base, [ArrivedBranch.of(1, branch).labelled for branch in order])
    # the seed does not matter to Cobyla, which the default budget chooses
    plugin, weights = lorahub([branch.plugin for branch in order], scorer, LORAHUB, 7, tiny_base)
    assert list(result.coefficients.values()) == weights
    assert result.item.digest == FusedPlugin(plugin).digest


def test_lorahub_says_where_no_weights_give_an_output(tiny_base: BaseModule) -> None:
    plugins = [make_plugin(tiny_base, seed, size=1e25) for seed in range(2)]
    scorer = WeightScorer(tiny_base, [lambda: raw(tiny_base, "one", 0, 2)])
    with pytest.raises(InvalidBranch, match="no weights of these plugins give finite outputs"):
        lorahub(plugins, scorer, choose_settings(method="lorahub", start=0.5), 0, tiny_base)
