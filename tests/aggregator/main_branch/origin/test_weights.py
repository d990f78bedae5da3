"""The likeness of weight changes: exact from the factors, and the same however a plugin is written."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medforge.aggregator.main_branch.origin.weights import (
    WeightLikeness,
    estimated_shares,
    products,
    sketched_products,
    weight_likeness,
    weight_sketch,
)
from medforge.base_module import BaseModule
from medforge.low_rank import svd_of
from medforge.plugin import Factors, Plugin
from medforge.svd_plugin import svd_plugin
from tests.making import make_plugin

ALIKE, BEGUN = 0.8, 0.999


def compared(base: BaseModule, *plugins: Plugin) -> WeightLikeness:
    return weight_likeness(products(plugins, base), ALIKE, BEGUN)


def mapped(plugin: Plugin, **parts: float) -> Plugin:
    """Every factor of a name multiplied."""
    return replace(
        plugin,
        factors={
            site: replace(f, **{name: times * f.parts[name] for name, times in parts.items()})
            for site, f in plugin.factors.items()
        },
    )


def plus(one: Plugin, other: Plugin, times: float, base: BaseModule) -> Plugin:
    changes = ((s, svd_of(one.delta(s, base) + times * other.delta(s, base))) for s in base.sites)
    return svd_plugin(changes, base.fingerprint, energy=1.0)


@pytest.mark.parametrize("kind", ["lora", "dora", "svd-lora"])
def test_products_are_those_of_the_formed_changes(tiny_base: BaseModule, kind: str) -> None:
    plugins = (make_plugin(tiny_base, 0, kind=kind), make_plugin(tiny_base, 1), make_plugin(tiny_base, 2, kind="dora"))  # type: ignore[arg-type]
    found = products(plugins, tiny_base)
    for place, site in enumerate(tiny_base.sites):
        changes = [plugin.delta(site, tiny_base).double().flatten() for plugin in plugins]
        due = torch.tensor([[float(one @ other) for other in changes] for one in changes], dtype=torch.float64)
        torch.testing.assert_close(found[place], due, rtol=1e-4, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), times=st.floats(0.5, 2))
def test_a_copy_is_alike_however_it_is_written(tiny_base: BaseModule, seed: int, times: float) -> None:
    plugin, random = make_plugin(tiny_base, seed), torch.Generator().manual_seed(seed)
    mix = torch.linalg.qr(torch.randn(2, 2, generator=random)).Q * times
    factors = {site: Factors(torch.linalg.inv(mix) @ f.down, f.up @ mix) for site, f in plugin.factors.items()}
    rewritten = compared(tiny_base, replace(plugin, factors=factors), plugin)
    assert rewritten == pytest.approx((1, 1, 1), abs=1e-4)
    assert compared(tiny_base, mapped(plugin, up=times), plugin) == pytest.approx((1, 1, times), rel=1e-4)
    other = compared(tiny_base, make_plugin(tiny_base, seed + 1), plugin)
    assert other.share == 0
    assert abs(other.cosine) < 0.5


def test_a_part_of_the_layers_is_alike_and_what_is_between_counts_by_size(tiny_base: BaseModule) -> None:
    plugin, other = make_plugin(tiny_base, 0), make_plugin(tiny_base, 1)
    first, *rest = tiny_base.sites
    part = replace(plugin, factors={first: plugin.factors[first]} | {site: other.factors[site] for site in rest})
    sizes = products((plugin,), tiny_base)[:, 0, 0]
    mine = products((part,), tiny_base)[:, 0, 0]
    due = float(sizes[0]) / min(float(sizes.sum()), float(mine.sum()))
    assert compared(tiny_base, part, plugin).share == pytest.approx(due, rel=1e-6)
    assert compared(tiny_base, mapped(plugin, up=0.0), plugin) == (0, 0, 0)


def test_two_who_began_from_one_model_are_no_copies_for_that(tiny_base: BaseModule) -> None:
    start = make_plugin(tiny_base, 0)
    one, other = (plus(start, make_plugin(tiny_base, seed), 0.3, tiny_base) for seed in (1, 2))
    assert compared(tiny_base, one, other).share > 0.9
    assert compared(tiny_base, one, other, start).share == 0
    # also where the other is the very model that both began from
    assert compared(tiny_base, one, start, start).share == 0
    # a copy of either is one whatever it says that it began from
    for claimed in (start, make_plugin(tiny_base, 5)):
        assert compared(tiny_base, plus(other, make_plugin(tiny_base, 7), 0.1, tiny_base), other, claimed).share > 0.5
    # and so is the model itself with nothing added
    assert compared(tiny_base, mapped(start, up=1.5), start, start).share == pytest.approx(1)


def test_a_sketch_estimates_without_bias_and_tells_a_noisy_copy(tiny_base: BaseModule) -> None:
    plugin, noise = make_plugin(tiny_base, 0), make_plugin(tiny_base, 9, rank=4, size=0.2)
    copy = plus(plugin, noise, 0.3, tiny_base)
    exact = products((plugin, copy), tiny_base)

    def total(gram: Tensor) -> float:
        return float(gram.sum(dim=0)[0, 1] / gram.sum(dim=0).diagonal().prod().sqrt())

    sketches = [weight_sketch(one, tiny_base) for one in (plugin, copy, make_plugin(tiny_base, 4))]
    grams = sketched_products(sketches[0], torch.stack(sketches[1:]))
    assert total(grams[0]) == pytest.approx(total(exact), abs=0.1)
    alike, strange = estimated_shares(grams, 0.6).tolist()
    assert alike > 0.9
    assert strange < 0.3
    rewritten = svd_plugin(((s, svd_of(plugin.delta(s, tiny_base))) for s in tiny_base.sites), plugin.base_fingerprint)
    torch.testing.assert_close(weight_sketch(rewritten, tiny_base), sketches[0], rtol=0.05, atol=0.05)
