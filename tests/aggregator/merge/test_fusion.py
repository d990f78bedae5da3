from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.merge.factors import combine_factors
from medforge.aggregator.merge.methods.fusion import fuse
from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.forge_item import FusedPlugin
from medforge.plugin import Factors, Plugin, PluginKind
from tests.aggregator.forges import branches, fold_all, open_main, settings_of
from tests.making import make_branch, make_plugin

KINDS = pytest.mark.parametrize("kind", get_args(PluginKind))
WEIGHTS = st.floats(-1.5, 1.5)


def assert_same_change(a: Plugin, b: Plugin, base: BaseModule) -> None:
    for site in base.sites:
        torch.testing.assert_close(a.delta(site, base), b.delta(site, base), rtol=1e-5, atol=1e-5)


def changed(plugin: Plugin, change: Callable[[Factors], Factors], **settings: float) -> Plugin:
    """The plugin with other factors and settings."""
    factors = {site: change(pair) for site, pair in plugin.factors.items()}
    return replace(plugin, settings=plugin.settings.model_copy(update=settings), factors=factors)


def test_fuse_is_the_formula_entry_by_entry(tiny_base: BaseModule) -> None:
    main, arriving = (make_plugin(tiny_base, seed, alpha=2.0) for seed in (0, 1))
    fused = fuse(main, arriving, 0.7, -0.4, tiny_base)
    site = tiny_base.sites[-1]
    a, b = main.factors[site], arriving.factors[site]
    rows, columns = tiny_base.site_shape(site)
    for i in range(rows):
        for j in range(columns):
            expected = sum(
                (0.7 * a.up[i, r] + -0.4 * b.up[i, r]) * (0.7 * a.down[r, j] + -0.4 * b.down[r, j]) for r in range(2)
            )
            assert fused.delta(site, tiny_base)[i, j] == pytest.approx(float(expected), abs=1e-5)


@KINDS
@settings(max_examples=20)
@given(rank=st.integers(1, 4), other=st.integers(1, 4), alpha=st.floats(0.5, 32), second=st.floats(0.5, 32))
def test_one_plugin_at_weight_one_is_the_identity(
    tiny_base: BaseModule, kind: PluginKind, rank: int, other: int, alpha: float, second: float
) -> None:
    main = make_plugin(tiny_base, 0, rank, alpha, kind=kind)
    arriving = make_plugin(tiny_base, 1, other, second, kind=kind)
    assert_same_change(fuse(main, arriving, 1, 0, tiny_base), main, tiny_base)
    assert_same_change(fuse(main, arriving, 0, 1, tiny_base), arriving, tiny_base)


@KINDS
def test_no_weight_changes_nothing(tiny_base: BaseModule, kind: PluginKind) -> None:
    plugins = [make_plugin(tiny_base, seed, kind=kind) for seed in range(3)]
    nothing = combine_factors(plugins, [0.0, 0.0, 0.0], tiny_base)
    for site in tiny_base.sites:
        assert nothing.delta(site, tiny_base).abs().max() < 1e-6


@KINDS
@settings(max_examples=20)
@given(extra=st.integers(0, 4), w=WEIGHTS, w_arriving=WEIGHTS)
def test_padding_ranks_with_zeros_changes_nothing(
    tiny_base: BaseModule, kind: PluginKind, extra: int, w: float, w_arriving: float
) -> None:
    main, arriving = make_plugin(tiny_base, 0, 2, 3.0, kind=kind), make_plugin(tiny_base, 1, 3, 5.0, kind=kind)
    padded = changed(
        main,
        lambda pair: replace(
            pair,
            down=F.pad(pair.down, (0, 0, 0, extra)),
            up=F.pad(pair.up, (0, extra)),
            diagonal=None if pair.diagonal is None else F.pad(pair.diagonal, (0, extra)),
        ),
        rank=2 + extra,
        alpha=3.0 * (2 + extra) / 2,
    )
    both = [fuse(one, arriving, w, w_arriving, tiny_base) for one in (padded, main)]
    assert_same_change(*both, tiny_base)


@KINDS
@settings(max_examples=20)
@given(scale=st.floats(0.25, 4))
def test_a_plugin_counts_by_what_it_does_not_by_how_alpha_is_written(
    tiny_base: BaseModule, kind: PluginKind, scale: float
) -> None:
    main, arriving = make_plugin(tiny_base, 0, alpha=2.0, kind=kind), make_plugin(tiny_base, 1, kind=kind)
    rewritten = changed(
        main, lambda pair: replace(pair, down=pair.down / scale, up=pair.up / scale), alpha=2.0 * scale**2
    )
    both = [fuse(one, arriving, 0.8, 0.3, tiny_base) for one in (rewritten, main)]
    assert_same_change(*both, tiny_base)


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_equal_shares_are_the_mean_of_the_factors(tiny_base: BaseModule, kind: PluginKind) -> None:
    plugins = [make_plugin(tiny_base, seed, alpha=2.0, kind=kind) for seed in range(3)]
    mean = {}
    for site in tiny_base.sites:
        parts = [plugin.factors[site] for plugin in plugins]
        magnitudes = [part.magnitude for part in parts if part.magnitude is not None]
        mean[site] = Factors(
            torch.stack([part.down for part in parts]).mean(0),
            torch.stack([part.up for part in parts]).mean(0),
            torch.stack(magnitudes).mean(0) if magnitudes else None,
        )
    combined = combine_factors(plugins, [1 / 3] * 3, tiny_base)
    assert_same_change(combined, replace(plugins[0], factors=mean), tiny_base)


def test_plugins_of_different_layers_do_not_fuse(tiny_base: BaseModule) -> None:
    main = make_plugin(tiny_base)
    other = replace(main, factors={tiny_base.sites[0]: main.factors[tiny_base.sites[0]]})
    with pytest.raises(InvalidBranch, match="adapts other layers than the main branch"):
        fuse(main, other, 1, 1, tiny_base)


def test_plugins_of_different_kinds_do_not_fuse(tiny_base: BaseModule) -> None:
    with pytest.raises(InvalidBranch, match="kind dora and lora cannot be combined factor by factor"):
        fuse(make_plugin(tiny_base), make_plugin(tiny_base, kind="dora"), 1, 1, tiny_base)


def test_the_first_arrival_becomes_the_main_plugin(tmp_path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path, tiny_base, settings_of("fusion", "layer", "sequential"))
    branch = make_branch(tiny_base)
    fold_all(main, [branch])
    item = main.checkout()
    assert isinstance(item, FusedPlugin)
    assert item.plugin.digest == branch.plugin.digest
    assert main.log()[0].coefficients == {branch.digest: 1.0}


def test_the_search_minimises_the_papers_objective(tmp_path, tiny_base: BaseModule) -> None:
    """The chosen pair beats, in an objective written out here, the start and every corner of the first simplex."""
    main = open_main(tmp_path, tiny_base, settings_of("fusion", "layer", "sequential", budget=40))
    arriving = branches(tiny_base, 2)
    fold_all(main, arriving)
    coefficients = main.log()[1].coefficients
    found = (coefficients[arriving[0].digest], coefficients[arriving[1].digest])

    def objective(w: float, w_arriving: float) -> float:
        deltas = fuse(arriving[0].plugin, arriving[1].plugin, w, w_arriving, tiny_base).deltas(tiny_base)
        losses = []
        for branch in arriving:
            embeddings = tiny_base.embed(branch.distilled.images, deltas)
            logits = tiny_base.logits(embeddings, branch.distilled.prompts)
            losses.append(float(F.cross_entropy(logits, branch.distilled.labels)))
        return sum(losses) / 2 + 0.05 * (abs(w) + abs(w_arriving)) / 2

    assert all(abs(value) <= 1.5 for value in found)
    assert objective(*found) < min(objective(0.5, 0.5), objective(1, 0.5), objective(0.5, 1)) - 1e-6


def test_a_forge_of_different_ranks_folds(tmp_path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path, tiny_base, settings_of("fusion", "layer", "sequential"))
    fold_all(main, [make_branch(tiny_base, 0, "one", rank=2), make_branch(tiny_base, 1, "two", rank=5)])
    item = Forge.open(tmp_path).load_item(main.log()[-1])
    assert isinstance(item, FusedPlugin)
    assert item.plugin.settings.rank == 5
