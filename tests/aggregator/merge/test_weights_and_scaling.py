"""Weights per branch and a factor chosen on distilled data, for every method that searches no coefficients."""

import itertools
from typing import get_args

import pytest
import torch
from torch import Tensor

from medforge.aggregator.coefficients.weights import WeightScorer
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.listing import UNIFORM
from medforge.aggregator.merge.scaling import FACTORS, choose_factor, scaled
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.api import merge
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import InvalidInput
from medforge.forge_item import FusedPlugin, Mixture, WeightChange
from medforge.plugin import PluginKind
from tests.aggregator.forges import LISTINGS, QUICK, branches, fold_in_memory
from tests.making import make_plugin

METHODS = [name for name, listing in LISTINGS.items() if UNIFORM in listing.modes]
every_method = pytest.mark.parametrize("method", METHODS)
every_kind = pytest.mark.parametrize("kind", get_args(PluginKind))


def of_sizes(base: BaseModule, sizes: tuple[int, ...], kind: PluginKind = "lora") -> list[Branch]:
    return [
        Branch(branch.manifest.model_copy(update={"training_images": size}), branch.plugin, branch.distilled)
        for branch, size in zip(branches(base, len(sizes), kind=kind), sizes, strict=True)
    ]


def folded(base: BaseModule, arriving: list[Branch], method: str, **given: str) -> dict[str, Tensor]:
    settings = choose_settings(method=method, parameters=QUICK.get(method), **given)
    return fold_in_memory(base, settings, arriving)[-1].item.weight_change(base)


@every_method
def test_branches_of_one_size_count_as_without_weights(tiny_base: BaseModule, method: str) -> None:
    arriving = of_sizes(tiny_base, (40, 40, 40))
    settings = [choose_settings(method=method, weights=w, parameters=QUICK.get(method)) for w in ("equal", "images")]
    plain, weighed = (fold_in_memory(tiny_base, one, arriving)[-1] for one in settings)
    assert plain.item.digest == weighed.item.digest
    assert plain.coefficients == weighed.coefficients


@every_method
@every_kind
def test_sizes_change_what_is_merged_and_no_order_does(tiny_base: BaseModule, method: str, kind: PluginKind) -> None:
    arriving = of_sizes(tiny_base, (10, 60), kind)
    settings = choose_settings(method=method, weights="images", scaling="distilled", parameters=QUICK.get(method))
    ends = [fold_in_memory(tiny_base, settings, list(order))[-1] for order in itertools.permutations(arriving)]
    assert len({end.item.digest for end in ends}) == 1
    small, large = (ends[0].coefficients[branch.digest] for branch in arriving)
    assert large == pytest.approx(6 * small)
    equal, weighed = (folded(tiny_base, arriving, method, weights=weights) for weights in ("equal", "images"))
    assert any(not torch.equal(equal[site], weighed[site]) for site in equal)


@every_kind
def test_a_weighed_soup_is_the_mean_by_images(tiny_base: BaseModule, kind: PluginKind) -> None:
    sizes = (10, 60, 30)
    arriving = of_sizes(tiny_base, sizes, kind)
    for method in ("model-soup", *(["med-lego"] if kind != "dora" else [])):
        found = folded(tiny_base, arriving, method, weights="images")
        for site in tiny_base.sites:
            wanted = sum(n * b.plugin.delta(site, tiny_base) for n, b in zip(sizes, arriving, strict=True)) / 100
            # Med-LEGO leaves out the smallest singular values
            torch.testing.assert_close(found[site], wanted, rtol=0, atol=1e-4 if method == "model-soup" else 0.1)


@every_kind
def test_a_weighed_plugin_is_its_weight_change_times_the_weight(tiny_base: BaseModule, kind: PluginKind) -> None:
    plugin = make_plugin(tiny_base, kind=kind)
    weighed = NamedPlugin("0" * 64, plugin, 2.5).weighed
    assert NamedPlugin("0" * 64, plugin).weighed is plugin
    for site in tiny_base.sites:
        torch.testing.assert_close(weighed.delta(site, tiny_base), 2.5 * plugin.delta(site, tiny_base))
        pair = weighed.low_rank(site)
        assert (pair is None) == (kind == "dora")
        if pair is not None:
            torch.testing.assert_close(pair[0] @ pair[1], weighed.delta(site, tiny_base), rtol=1e-4, atol=1e-5)


def test_a_branch_that_says_it_has_no_images_still_counts(tiny_base: BaseModule) -> None:
    arriving = of_sizes(tiny_base, (0, 0))
    end = fold_in_memory(tiny_base, choose_settings(method="model-soup", weights="images"), arriving)[-1]
    assert list(end.coefficients.values()) == [0.5, 0.5]


@every_method
def test_a_scaled_merge_answers_distilled_images_no_worse(tiny_base: BaseModule, method: str) -> None:
    arriving = branches(tiny_base)
    losses, coefficients = [], []
    for scaling in ("given", "distilled"):
        settings = choose_settings(method=method, scaling=scaling, parameters=QUICK.get(method))
        end = fold_in_memory(tiny_base, settings, arriving)[-1]
        losses.append(sum(score.loss for score in end.metrics.values()))
        coefficients.append(max(end.coefficients.values()))
    assert losses[1] <= losses[0] + 1e-6
    assert coefficients[1] / coefficients[0] == pytest.approx(round(4 * coefficients[1] / coefficients[0]) / 4)


def test_the_factor_is_the_best_of_all_and_of_equals_the_nearest_to_one(tiny_base: BaseModule) -> None:
    arrived = [ArrivedBranch.of(n, branch) for n, branch in enumerate(branches(tiny_base), start=1)]
    scorer = WeightScorer(tiny_base, [one.labelled for one in arrived])
    settings = choose_settings(method="ties")
    change = arrived[0].plugin().deltas(tiny_base)
    losses = {f: scorer.loss({s: f * d for s, d in change.items()}, "cross-entropy") for f in FACTORS}
    assert choose_factor(scorer, change, settings) == min(losses, key=lambda f: losses[f])
    nothing = {site: torch.zeros_like(delta) for site, delta in change.items()}
    assert choose_factor(scorer, nothing, settings) == 1.0


@every_kind
def test_every_kind_of_item_can_be_scaled(tiny_base: BaseModule, kind: PluginKind) -> None:
    plugin = make_plugin(tiny_base, kind=kind)
    change = plugin.deltas(tiny_base)
    items = (
        FusedPlugin(plugin),
        Mixture((NamedPlugin("a" * 64, plugin).member(1.0),), "layer"),
        WeightChange.of(tiny_base, change),
    )
    for item in items:
        found = scaled(item, 1.5, tiny_base)
        found.check(tiny_base)
        for site, delta in found.weight_change(tiny_base).items():
            torch.testing.assert_close(delta, 1.5 * change[site], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"method": "fusion", "weights": "images"},
            "method 'fusion' finds its own coefficients and takes no weights; ",
        ),
        ({"method": "adamerging", "scaling": "distilled"}, "finds its own coefficients and takes no scaling; leave"),
        ({"method": "ties", "weights": "votes"}, "merge setting weights is wrong"),
        ({"method": "ties", "scaling": "2"}, "merge setting scaling is wrong"),
    ],
)
def test_mistakes_are_named(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        choose_settings(**given)


def test_neither_is_written_where_it_is_not_asked_for() -> None:
    """So commits and forges that were made before keep their digests."""
    text = choose_settings(method="ties").model_dump_json()
    assert "weights" not in text
    assert "scaling" not in text
    asked = choose_settings(method="ties", weights="images", scaling="distilled")
    assert type(asked).model_validate_json(asked.model_dump_json()) == asked


def test_plugins_alone_have_nothing_to_be_weighed_by(tiny_base: BaseModule) -> None:
    with pytest.raises(InvalidInput, match="plugins alone have no images to be weighed or scaled by; give branches"):
        merge([make_plugin(tiny_base)], base=tiny_base, method="ties", weights="images")
    merged = merge(of_sizes(tiny_base, (10, 60)), base=tiny_base, method="ties", weights="images")
    assert isinstance(merged, WeightChange)
