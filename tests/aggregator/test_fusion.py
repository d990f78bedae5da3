import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from medforge.aggregator.forge import Forge
from medforge.aggregator.merge.fusion import fuse
from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.forge_item import FusedPlugin
from medforge.plugin import Factors, Plugin, PluginSettings
from tests.making import make_branch

from .forges import branches, fold_all, open_main, settings_of

SITES = {"block.q_proj": (5, 4), "proj": (3, 4)}


def plugin(seed: int, rank: int = 2, alpha: float = 2.0, sites: dict[str, tuple[int, int]] = SITES) -> Plugin:
    random = torch.Generator().manual_seed(seed)
    factors = {
        site: Factors(down=torch.randn(rank, columns, generator=random), up=torch.randn(rows, rank, generator=random))
        for site, (rows, columns) in sites.items()
    }
    return Plugin(PluginSettings(rank=rank, alpha=alpha), "0" * 64, factors)


def assert_same_change(a: Plugin, b: Plugin) -> None:
    for site in SITES:
        torch.testing.assert_close(a.delta(site), b.delta(site), rtol=1e-5, atol=1e-5)


def test_fuse_is_the_formula_entry_by_entry() -> None:
    main, arriving = plugin(0), plugin(1)
    fused = fuse(main, arriving, 0.7, -0.4)
    for site, (rows, columns) in SITES.items():
        a, b = main.factors[site], arriving.factors[site]
        for i in range(rows):
            for j in range(columns):
                expected = sum(
                    (0.7 * a.up[i, r] + -0.4 * b.up[i, r]) * (0.7 * a.down[r, j] + -0.4 * b.down[r, j])
                    for r in range(2)
                )
                assert fused.delta(site)[i, j] == pytest.approx(float(expected), abs=1e-5)


@given(rank=st.integers(1, 4), other=st.integers(1, 4), alpha=st.floats(0.5, 32), second=st.floats(0.5, 32))
def test_one_plugin_at_weight_one_is_the_identity(rank: int, other: int, alpha: float, second: float) -> None:
    main, arriving = plugin(0, rank, alpha), plugin(1, other, second)
    assert_same_change(fuse(main, arriving, 1, 0), main)
    assert_same_change(fuse(main, arriving, 0, 1), arriving)


@given(extra=st.integers(0, 4), w=st.floats(-1.5, 1.5), w_arriving=st.floats(-1.5, 1.5))
def test_padding_ranks_with_zeros_changes_nothing(extra: int, w: float, w_arriving: float) -> None:
    main, arriving = plugin(0, 2, 3.0), plugin(1, 3, 5.0)
    padded = Plugin(
        PluginSettings(rank=2 + extra, alpha=3.0 * (2 + extra) / 2),
        main.base_fingerprint,
        {
            site: Factors(down=F.pad(pair.down, (0, 0, 0, extra)), up=F.pad(pair.up, (0, extra)))
            for site, pair in main.factors.items()
        },
    )
    assert_same_change(fuse(padded, arriving, w, w_arriving), fuse(main, arriving, w, w_arriving))


@given(scale=st.floats(0.25, 4))
def test_a_plugin_counts_by_what_it_does_not_by_how_alpha_is_written(scale: float) -> None:
    main, arriving = plugin(0), plugin(1)
    rewritten = Plugin(
        PluginSettings(rank=2, alpha=2.0 * scale**2),
        main.base_fingerprint,
        {s: Factors(down=p.down / scale, up=p.up / scale) for s, p in main.factors.items()},
    )
    assert_same_change(fuse(rewritten, arriving, 0.8, 0.3), fuse(main, arriving, 0.8, 0.3))


def test_equal_halves_are_the_mean_of_the_factors() -> None:
    main, arriving = plugin(0), plugin(1)
    mean = {
        site: Factors(down=(a.down + b.down) / 2, up=(a.up + b.up) / 2)
        for site, a, b in ((s, main.factors[s], arriving.factors[s]) for s in SITES)
    }
    assert_same_change(fuse(main, arriving, 0.5, 0.5), Plugin(main.settings, main.base_fingerprint, mean))


def test_plugins_of_different_layers_do_not_fuse() -> None:
    with pytest.raises(InvalidBranch, match="adapts other layers than the main branch"):
        fuse(plugin(0), plugin(1, sites={"proj": (3, 4)}), 1, 1)


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
        deltas = fuse(arriving[0].plugin, arriving[1].plugin, w, w_arriving).deltas()
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
