"""Every training-free method against its definition, written out entry by entry."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.factors import combine_factors
from medforge.aggregator.merge.methods.dare import dare, drop_and_rescale
from medforge.aggregator.merge.methods.magmax import magmax
from medforge.aggregator.merge.methods.med_lego import med_lego
from medforge.aggregator.merge.methods.pem import pem
from medforge.aggregator.merge.methods.task_arithmetic import scaled_sum
from medforge.aggregator.merge.methods.ties import agreeing_mean, elect, threshold_of, ties, trim
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import InvalidBranch
from medforge.plugin import Factors, Plugin, PluginKind
from medforge.seeds import generator
from tests.aggregator.forges import branches, fold_in_memory
from tests.making import make_plugin

KINDS: list[tuple[PluginKind, ...]] = [
    ("lora", "lora", "lora"),
    ("svd-lora", "svd-lora", "svd-lora"),
    ("dora", "dora", "dora"),
    ("lora", "dora", "svd-lora"),
]
every_kinds = pytest.mark.parametrize("kinds", KINDS, ids="-".join)


def plugins(base: BaseModule, kinds: tuple[PluginKind, ...]) -> list[Plugin]:
    return [make_plugin(base, seed, rank=seed + 2, kind=kind) for seed, kind in enumerate(kinds)]


def flat(plugin: Plugin, base: BaseModule) -> list[float]:
    """The task vector: all sites in a row."""
    return torch.cat([plugin.delta(site, base).flatten() for site in plugin.sites]).tolist()


def joined(changes: dict[str, Tensor]) -> Tensor:
    return torch.cat([changes[site].flatten() for site in sorted(changes)])


def ties_written_out(vectors: list[list[float]], density: float, scale: float) -> list[float]:
    """Algorithm 1 of Yadav et al. (2023) on lists of numbers."""
    trimmed = []
    for vector in vectors:
        kept = max(1, round(density * len(vector)))
        least = sorted(map(abs, vector), reverse=True)[kept - 1]
        trimmed.append([value if abs(value) >= least else 0.0 for value in vector])
    columns = list(zip(*trimmed, strict=True))
    signs = [(sum(column) > 0) - (sum(column) < 0) for column in columns]
    majority = 1 if sum(signs) >= 0 else -1
    merged = []
    for column, sign in zip(columns, signs, strict=True):
        agreeing = [value for value in column if value * (sign or majority) > 0]
        merged.append(scale * sum(agreeing) / len(agreeing) if agreeing else 0.0)
    return merged


@every_kinds
@pytest.mark.parametrize(("density", "scale"), [(0.2, 1.0), (0.05, 0.4), (1.0, 1.0)])
def test_ties_is_its_algorithm(
    tiny_base: BaseModule, kinds: tuple[PluginKind, ...], density: float, scale: float
) -> None:
    parts = plugins(tiny_base, kinds)
    found = joined(ties(parts, tiny_base, density, scale))
    wanted = ties_written_out([flat(part, tiny_base) for part in parts], density, scale)
    torch.testing.assert_close(found, torch.tensor(wanted), rtol=1e-5, atol=1e-6)
    assert (found != 0).any()


def test_ties_trims_over_all_sites_together(tiny_base: BaseModule) -> None:
    """A site of small changes loses all of them."""
    plugin = make_plugin(tiny_base)
    first = plugin.sites[0]
    small = Factors(1e-6 * plugin.factors[first].down, plugin.factors[first].up)
    found = ties(
        [Plugin(plugin.settings, plugin.base_fingerprint, {**plugin.factors, first: small})], tiny_base, 0.2, 1
    )
    assert int((found[first] != 0).sum()) == 0
    share = float((joined(found) != 0).double().mean())
    assert share == pytest.approx(0.2, abs=1e-3)


def test_ties_keeps_all_entries_that_are_as_large_as_the_smallest_kept() -> None:
    change = torch.tensor([1.0, -2.0, 2.0, 3.0, 0.5, 2.0])
    # two of six: 3 and one of three entries of magnitude 2
    least = threshold_of(change.abs(), 1 / 3)
    assert trim(change, least).tolist() == [0, -2, 2, 3, 0, 2]
    assert threshold_of(change.abs(), 1e-9) == 3
    assert threshold_of(change.abs(), 1.0) == 0.5


def test_ties_settles_what_cancels_by_the_majority() -> None:
    changes = torch.tensor([[1.0, -2.0, -3.0, 0.0], [-1.0, -4.0, 6.0, 0.0]])
    assert elect(changes).tolist() == [0, -1, 1, 0]
    assert agreeing_mean(changes, 1).tolist() == [1, -3, 6, 0]
    assert agreeing_mean(changes, -1).tolist() == [-1, -3, 6, 0]


def test_ties_looks_for_the_majority_at_all_sites(tiny_base: BaseModule) -> None:
    """Plugin and opposite cancel at one site; at the other the same plugin comes twice, which settles the first."""
    plugin = make_plugin(tiny_base)
    for flip in (1.0, -1.0):
        one = {site: Factors(p.down.abs(), flip * p.up.abs()) for site, p in plugin.factors.items()}
        other = one | {plugin.sites[0]: Factors(one[plugin.sites[0]].down, -one[plugin.sites[0]].up)}
        parts = [Plugin(plugin.settings, plugin.base_fingerprint, factors) for factors in (one, other)]
        merged = ties(parts, tiny_base, 1.0, 1.0)[plugin.sites[0]]
        torch.testing.assert_close(merged, flip * parts[0].delta(plugin.sites[0], tiny_base).abs())


@every_kinds
def test_magmax_takes_the_largest_of_every_entry(tiny_base: BaseModule, kinds: tuple[PluginKind, ...]) -> None:
    parts = plugins(tiny_base, kinds)
    columns = zip(*(flat(part, tiny_base) for part in parts), strict=True)
    wanted = torch.tensor([0.5 * max(column, key=abs) for column in columns])
    torch.testing.assert_close(joined(magmax(parts, tiny_base, 0.5)), wanted)


def test_the_later_of_equal_magnitudes_wins(tiny_base: BaseModule) -> None:
    plugin = make_plugin(tiny_base)
    opposite = {site: Factors(part.down, -part.up) for site, part in plugin.factors.items()}
    other = Plugin(plugin.settings, plugin.base_fingerprint, opposite)
    for pair in ([plugin, other], [other, plugin]):
        torch.testing.assert_close(joined(magmax(pair, tiny_base, 1.0)), torch.tensor(flat(pair[1], tiny_base)))


@every_kinds
def test_task_arithmetic_is_the_scaled_sum(tiny_base: BaseModule, kinds: tuple[PluginKind, ...]) -> None:
    parts = plugins(tiny_base, kinds)
    item = scaled_sum([NamedPlugin(f"{place:064x}", part) for place, part in enumerate(parts)], 0.3)
    wanted = torch.tensor([0.3 * sum(column) for column in zip(*(flat(p, tiny_base) for p in parts), strict=True)])
    torch.testing.assert_close(joined(item.weight_change(tiny_base)), wanted, rtol=1e-4, atol=1e-5)


@every_kinds
def test_dare_drops_rescales_and_sums(tiny_base: BaseModule, kinds: tuple[PluginKind, ...]) -> None:
    parts = [NamedPlugin(f"{place:064x}", part) for place, part in enumerate(plugins(tiny_base, kinds))]
    found = dare(parts, tiny_base, 0.9, 0.3, seed=4)
    for site in tiny_base.sites:
        wanted = torch.zeros(tiny_base.site_shape(site))
        for part in parts:
            change = part.plugin.delta(site, tiny_base)
            drawn = torch.rand(change.shape, generator=generator(4, "dare", part.branch, site))
            wanted += torch.where(drawn < 0.9, torch.zeros(()), change / (1 - 0.9))
        torch.testing.assert_close(found[site], 0.3 * wanted)


def test_dare_drops_a_share_and_keeps_the_mean() -> None:
    change = torch.full((400, 500), 2.0)
    dropped = drop_and_rescale(change, 0.8, generator(0, "test"))
    assert dropped.unique().tolist() == pytest.approx([0.0, 10.0], rel=1e-6)
    assert float((dropped == 0).double().mean()) == pytest.approx(0.8, abs=0.005)
    assert float(dropped.mean()) == pytest.approx(2.0, abs=0.05)


def test_what_dare_drops_of_a_plugin_does_not_depend_on_who_else_arrives(tiny_base: BaseModule) -> None:
    one, other = (NamedPlugin(f"{place:064x}", make_plugin(tiny_base, place)) for place in range(2))
    alone, both = dare([other], tiny_base, 0.5, 1.0, 0), dare([one, other], tiny_base, 0.5, 1.0, 0)
    rest = dare([one], tiny_base, 0.5, 1.0, 0)
    for site in tiny_base.sites:
        torch.testing.assert_close(both[site], alone[site] + rest[site])
    assert not torch.equal(alone[site], dare([other], tiny_base, 0.5, 1.0, 1)[site])
    # nor do two plugins lose the same entries
    same = NamedPlugin("f" * 64, other.plugin)
    assert not torch.equal(alone[site] == 0, dare([same], tiny_base, 0.5, 1.0, 0)[site] == 0)


@every_kinds
@pytest.mark.parametrize("energy", [0.5, 0.997, 1.0])
def test_med_lego_is_the_truncated_svd_of_the_mean(
    tiny_base: BaseModule, kinds: tuple[PluginKind, ...], energy: float
) -> None:
    parts = plugins(tiny_base, kinds)
    merged = med_lego(parts, tiny_base, energy)
    assert merged.settings.kind == "svd-lora"
    for site in tiny_base.sites:
        mean = sum(part.delta(site, tiny_base).double() for part in parts) / len(parts)
        left, values, right = torch.linalg.svd(mean, full_matrices=False)
        # the numerical rank of the mean of low-rank changes, of which float32 products know seven digits
        real = int((values > 1e-5 * values[0]).sum())
        sums = values[:real].cumsum(dim=0)
        kept = next(k for k in range(1, real + 1) if sums[k - 1] >= energy * sums[-1] - 1e-9)
        assert merged.settings.rank_at(site) == kept
        wanted = left[:, :kept] * values[:kept] @ right[:kept]
        torch.testing.assert_close(merged.delta(site, tiny_base).double(), wanted, rtol=0, atol=1e-5)
        factors = merged.factors[site]
        identity = torch.eye(kept)
        torch.testing.assert_close(factors.up.T @ factors.up, identity, rtol=0, atol=1e-5)
        torch.testing.assert_close(factors.down @ factors.down.T, identity, rtol=0, atol=1e-5)


@given(st.permutations(range(4)))
@settings(max_examples=8, deadline=None)
def test_med_lego_hardly_depends_on_the_order_of_its_plugins(tiny_base: BaseModule, order: list[int]) -> None:
    parts = [make_plugin(tiny_base, seed, rank=seed + 1, kind="svd-lora") for seed in range(4)]
    one, other = med_lego(parts, tiny_base, 0.9), med_lego([parts[index] for index in order], tiny_base, 0.9)
    assert (one.settings.rank, one.settings.ranks) == (other.settings.rank, other.settings.ranks)
    torch.testing.assert_close(joined(one.deltas(tiny_base)), joined(other.deltas(tiny_base)), rtol=0, atol=1e-5)


def test_med_lego_of_one_plugin_at_full_energy_is_that_plugin(tiny_base: BaseModule) -> None:
    for kind in ("lora", "svd-lora"):
        plugin = make_plugin(tiny_base, rank=3, kind=kind)
        merged = med_lego([plugin], tiny_base, 1.0)
        assert (merged.settings.rank, merged.settings.ranks) == (3, {})
        torch.testing.assert_close(joined(merged.deltas(tiny_base)), joined(plugin.deltas(tiny_base)))
        # and merging is idempotent
        again = med_lego([merged, merged], tiny_base, 1.0)
        torch.testing.assert_close(joined(again.deltas(tiny_base)), joined(plugin.deltas(tiny_base)))


def test_no_contributor_chooses_how_a_med_lego_plugin_is_trained_further(tiny_base: BaseModule) -> None:
    plugins = [make_plugin(tiny_base, seed, alpha=alpha, kind="svd-lora") for seed, alpha in ((0, 1e30), (1, 1e-30))]
    merged = med_lego(plugins, tiny_base, 1.0)
    assert (merged.settings.scaling, merged.settings.dropout) == (1, 0)


def rebuilt(branch: Branch, base: BaseModule, factors: dict[str, Factors]) -> Branch:
    """The branch with another plugin."""
    return Branch.build(
        Plugin(branch.plugin.settings, base.fingerprint, factors),
        branch.distilled,
        contributor=branch.manifest.contributor,
        task=branch.manifest.task,
        base=base,
        training_images=10,
        recipe="test",
        seed=0,
        validation={},
    )


@pytest.mark.parametrize("method", ["factor-average", "pem"])
def test_a_merge_without_finite_outputs_is_refused(tiny_base: BaseModule, method: str) -> None:
    """Each alone is sound, but the products of their factors are not."""
    arriving = []
    for branch, size in zip(branches(tiny_base, 2), (1e25, 1e-25), strict=True):
        factors = {site: Factors(size * p.down, p.up / size) for site, p in branch.plugin.factors.items()}
        arriving.append(rebuilt(branch, tiny_base, factors))
    settings = choose_settings(method=method)
    for branch in arriving:
        assert len(fold_in_memory(tiny_base, settings, [branch])) == 1
    with pytest.raises(InvalidBranch, match=f"merged by {method}, the plugins that have arrived give outputs that are"):
        fold_in_memory(tiny_base, settings, arriving)


def test_med_lego_of_untrained_plugins_changes_nothing(tiny_base: BaseModule) -> None:
    plugin = make_plugin(tiny_base, kind="svd-lora")
    fresh = {site: Factors(p.down, p.up, diagonal=torch.zeros(2)) for site, p in plugin.factors.items()}
    merged = med_lego([Plugin(plugin.settings, plugin.base_fingerprint, fresh)] * 2, tiny_base, 0.997)
    assert merged.settings.rank == 1
    assert joined(merged.deltas(tiny_base)).abs().max() == 0


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_pem_is_the_mean_of_factors_and_magnitudes(tiny_base: BaseModule, kind: PluginKind) -> None:
    parts = [make_plugin(tiny_base, seed, kind=kind) for seed in range(3)]
    merged = pem(parts, tiny_base)
    root = parts[0].settings.scaling ** 0.5
    for site in tiny_base.sites:
        found = merged.factors[site]
        torch.testing.assert_close(found.down, sum(root * p.factors[site].down for p in parts) / 3)
        torch.testing.assert_close(found.up, sum(root * p.factors[site].up for p in parts) / 3)
        if kind == "dora":
            torch.testing.assert_close(found.magnitude, sum(p.factors[site].magnitude for p in parts) / 3)


def test_pem_of_svd_loras_is_the_product_of_three_means(tiny_base: BaseModule) -> None:
    parts = [make_plugin(tiny_base, seed, rank=rank, alpha=6.0, kind="svd-lora") for seed, rank in enumerate((1, 3))]
    merged = pem(parts, tiny_base)
    for site in tiny_base.sites:
        small, large = (part.factors[site] for part in parts)
        down = torch.cat([small.down + large.down[:1], large.down[1:]]) / 2
        up = torch.cat([small.up + large.up[:, :1], large.up[:, 1:]], dim=1) / 2
        # α / r is 6 for the one, 2 for the other
        diagonal = torch.cat([6 * small.diagonal + 2 * large.diagonal[:1], 2 * large.diagonal[1:]]) / 2
        torch.testing.assert_close(merged.delta(site, tiny_base), up * diagonal @ down)


def test_the_factors_of_an_svd_lora_share_its_diagonal(tiny_base: BaseModule) -> None:
    one, other = make_plugin(tiny_base, 0, kind="svd-lora"), make_plugin(tiny_base, 1, rank=3)
    alone = combine_factors([one, other], [1.0, 0.0], tiny_base)
    assert alone.settings.kind == "lora"
    torch.testing.assert_close(joined(alone.deltas(tiny_base)), joined(one.deltas(tiny_base)), rtol=1e-4, atol=1e-5)
    both = combine_factors([one, other], [0.5, 0.5], tiny_base)
    for site in tiny_base.sites:
        a, b = one.factors[site], other.factors[site]
        size = (one.settings.scaling * a.diagonal.abs()).sqrt()
        root = other.settings.scaling**0.5
        down = (torch.cat([size.unsqueeze(1) * a.down, torch.zeros_like(b.down[:1])]) + root * b.down) / 2
        up = (torch.cat([a.up * size * a.diagonal.sign(), torch.zeros_like(b.up[:, :1])], dim=1) + root * b.up) / 2
        torch.testing.assert_close(both.delta(site, tiny_base), up @ down, rtol=1e-4, atol=1e-5)


MERGES: list[Callable[[list[Plugin], BaseModule], Plugin]] = [
    pem,
    lambda parts, base: combine_factors(parts, [0.5, 0.5], base),
]


@pytest.mark.parametrize("merge", MERGES)
def test_factors_of_doras_and_others_do_not_combine(
    tiny_base: BaseModule, merge: Callable[[list[Plugin], BaseModule], Plugin]
) -> None:
    for kind in ("lora", "svd-lora"):
        parts = [make_plugin(tiny_base, 0, kind="dora"), make_plugin(tiny_base, 1, kind=kind)]
        with pytest.raises(InvalidBranch, match=f"plugins of kind dora and {kind} cannot be combined factor by factor"):
            merge(parts, tiny_base)
