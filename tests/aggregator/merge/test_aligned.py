"""TSV-M, KnOTS-TIES and Core Space with TIES against their definitions on whole matrices."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from medforge.aggregator.merge.methods.core_space_ties import core_space_ties, factors_of
from medforge.aggregator.merge.methods.knots_ties import aligned, knots_ties
from medforge.aggregator.merge.methods.tsv_m import nearest_orthonormal, tsv_m
from medforge.base_module import BaseModule
from medforge.plugin import Factors, Plugin, PluginKind
from tests.aggregator.merge.test_training_free import every_kinds, plugins, ties_written_out
from tests.making import make_plugin

Kinds = tuple[PluginKind, ...]
Merge = Callable[[Sequence[Plugin], BaseModule, float, float], dict[str, Tensor]]


@every_kinds
def test_tsv_m_is_its_algorithm_on_whole_matrices(tiny_base: BaseModule, kinds: Kinds) -> None:
    parts = plugins(tiny_base, kinds)
    found = tsv_m(parts, tiny_base, 0.7)
    for site in tiny_base.sites:
        changes = [part.delta(site, tiny_base).double() for part in parts]
        left, values, right = [], [], []
        for change in changes:
            u, s, vh = torch.linalg.svd(change, full_matrices=False)
            kept = min(min(change.shape) // len(parts), int((s > 1e-5 * s[0]).sum()))
            left, values, right = [*left, u[:, :kept]], [*values, s[:kept]], [*right, vh[:kept].T]
        whitened = [polar(torch.cat(side, dim=1)) for side in (left, right)]
        wanted = 0.7 * whitened[0] @ torch.diag(torch.cat(values)) @ whitened[1].T
        torch.testing.assert_close(found[site], wanted, rtol=1e-3, atol=1e-4)


def polar(columns: Tensor) -> Tensor:
    """X (XᵀX)^(−1/2), by the eigenvectors of XᵀX: no SVD of X."""
    values, vectors = torch.linalg.eigh(columns.T @ columns)
    return columns @ vectors @ torch.diag(values.rsqrt()) @ vectors.T


def test_the_singular_vectors_that_are_summed_are_orthogonal() -> None:
    columns = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nearest = nearest_orthonormal(columns)
    torch.testing.assert_close(nearest.T @ nearest, torch.eye(5, dtype=torch.float64))
    # and nearer than another orthonormal basis of the same columns
    other = torch.linalg.qr(columns).Q
    assert (nearest - columns).norm() < (other - columns).norm()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_same_plugin_again_is_that_plugin_to_tsv_m(tiny_base: BaseModule, count: int) -> None:
    plugin = make_plugin(tiny_base)
    found = tsv_m([plugin] * count, tiny_base, 1.0)
    for site in tiny_base.sites:
        torch.testing.assert_close(found[site].float(), plugin.delta(site, tiny_base), rtol=1e-4, atol=1e-5)


def test_plugins_that_write_and_read_elsewhere_do_not_interfere(tiny_base: BaseModule) -> None:
    """In orthogonal directions TSV-M is the plain sum."""
    plugin = make_plugin(tiny_base, rank=2)
    halves = []
    for half in (0, 1):
        factors = {}
        for site, part in plugin.factors.items():
            up, down = torch.zeros_like(part.up), torch.zeros_like(part.down)
            up[half::2], down[:, half::2] = part.up[half::2], part.down[:, half::2]
            factors[site] = Factors(down, up)
        halves.append(Plugin(plugin.settings, plugin.base_fingerprint, factors))
    found = tsv_m(halves, tiny_base, 1.0)
    for site in tiny_base.sites:
        wanted = sum(half.delta(site, tiny_base) for half in halves)
        torch.testing.assert_close(found[site].float(), wanted, rtol=1e-4, atol=1e-5)


@every_kinds
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_knots_ties_is_ties_on_the_aligned_parts(tiny_base: BaseModule, kinds: Kinds, density: float) -> None:
    parts = plugins(tiny_base, kinds)
    found = knots_ties(parts, tiny_base, density, 0.5)
    bases, vectors = {}, [[] for _ in parts]
    for site in parts[0].sites:
        whole = torch.cat([part.delta(site, tiny_base).double() for part in parts], dim=1)
        triples = aligned(parts, site, tiny_base)
        rebuilt = (triples.left * triples.values) @ triples.right
        torch.testing.assert_close(rebuilt, whole, rtol=1e-4, atol=1e-5)
        # the triples are those of the dense matrix, whose signs alone are free
        values = torch.linalg.svdvals(whole)[: len(triples.values)]
        torch.testing.assert_close(triples.values, values, rtol=1e-4, atol=1e-5)
        bases[site] = triples.left * triples.values
        for vector, own in zip(vectors, triples.right.chunk(len(parts), dim=1), strict=True):
            vector += own.flatten().tolist()
    merged = torch.tensor(ties_written_out(vectors, density, 0.5), dtype=torch.float64)
    start = 0
    for site in parts[0].sites:
        rows, columns = bases[site].shape[1], tiny_base.site_shape(site)[1]
        part = merged[start : start + rows * columns].view(rows, columns)
        torch.testing.assert_close(found[site], bases[site] @ part, rtol=1e-4, atol=1e-5)
        start += rows * columns


@every_kinds
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_core_space_ties_is_ties_on_the_core_matrices(tiny_base: BaseModule, kinds: Kinds, density: float) -> None:
    parts = plugins(tiny_base, kinds)
    found = core_space_ties(parts, tiny_base, density, 0.5)
    bases, vectors = {}, [[] for _ in parts]
    for site in parts[0].sites:
        factors = [factors_of(part, site, tiny_base) for part in parts]
        left = torch.linalg.svd(torch.cat([up for up, _ in factors], dim=1), full_matrices=False)[0]
        right = torch.linalg.svd(torch.cat([down for _, down in factors]), full_matrices=False)[2]
        bases[site] = left, right
        for vector, part, (up, down) in zip(vectors, parts, factors, strict=True):
            # of the factors, not of their float32 product: an election may hang on the last bit
            core = left.T @ up @ (down @ right.T)
            # nothing of a plugin is lost in its core
            change = part.delta(site, tiny_base).double()
            torch.testing.assert_close(left @ core @ right, change, rtol=1e-4, atol=1e-5)
            vector += core.flatten().tolist()
    merged = torch.tensor(ties_written_out(vectors, density, 0.5), dtype=torch.float64)
    start = 0
    for site, (left, right) in bases.items():
        rows, columns = left.shape[1], right.shape[0]
        part = merged[start : start + rows * columns].view(rows, columns)
        torch.testing.assert_close(found[site], left @ part @ right, rtol=1e-4, atol=1e-5)
        start += rows * columns


def test_the_core_is_small_where_plugins_are(tiny_base: BaseModule) -> None:
    """What is merged has the plugins' ranks, whatever the size of the layer."""
    parts = [make_plugin(tiny_base, seed, rank=1) for seed in range(3)]
    for site, change in core_space_ties(parts, tiny_base, 1.0, 1.0).items():
        assert int(torch.linalg.matrix_rank(change)) <= 3 < min(tiny_base.site_shape(site))


@pytest.mark.parametrize("merge", [knots_ties, core_space_ties])
def test_one_plugin_whose_entries_are_all_kept_comes_out(tiny_base: BaseModule, merge: Merge) -> None:
    plugin = make_plugin(tiny_base)
    found = merge([plugin], tiny_base, 1.0, 1.0)
    for site in tiny_base.sites:
        torch.testing.assert_close(found[site].float(), plugin.delta(site, tiny_base), rtol=1e-4, atol=1e-5)
