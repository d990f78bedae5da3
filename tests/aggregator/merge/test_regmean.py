"""RegMean and RegMean++ against least squares on the inputs themselves, taken by hooks that are not ours."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.gram import Regression, gram_matrices, in_order
from medforge.aggregator.merge.methods.regmean import regmean
from medforge.aggregator.merge.methods.regmean_plus_plus import regmean_plus_plus
from medforge.aggregator.merge.uniform import Weighed
from medforge.base_module import BaseModule
from medforge.branch import Branch
from tests.aggregator.forges import branches, fold_in_memory

RIDGE = 0.01


def members(arriving: list[Branch], weights: tuple[float, ...] = (1.0, 1.0, 1.0)) -> list[Weighed]:
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(arriving, start=1)]
    return [Weighed(one, weight) for one, weight in zip(arrived, weights, strict=True)]


def inputs_at(base: BaseModule, site: str, images: Tensor, change: dict[str, Tensor]) -> Tensor:
    """Return the rows that reach a site, float64: the weights are changed in place, and PyTorch's own hook looks."""
    layer, seen = base.visual.get_submodule(site), []
    before = {name: base.weight(name).clone() for name in change}
    hook = layer.register_forward_hook(lambda _layer, given, _out: seen.append(given[0].flatten(0, -2).double()))
    with torch.no_grad():
        for name, delta in change.items():
            base.weight(name).add_(delta.float())
        base.visual(images.float())
        for name, weight in before.items():
            base.weight(name).copy_(weight)
    hook.remove()
    return seen[0]


def least_squares(rows: list[Tensor], changes: list[Tensor], weights: tuple[float, ...]) -> Tensor:
    """Solve min Σ_k w_k (1/n_k ‖X_k (ΔW − ΔW_k)ᵀ‖² + ridge_k ‖ΔW − ΔW_k‖²) by stacked rows, without a Gram matrix."""
    stacked, targets = [], []
    for weight, x, change in zip(weights, rows, changes, strict=True):
        ridge = RIDGE * float(x.square().sum()) / len(x) / x.shape[1]
        seen = torch.cat([x / len(x) ** 0.5, ridge**0.5 * torch.eye(x.shape[1], dtype=x.dtype)])
        stacked.append(weight**0.5 * seen)
        targets.append(stacked[-1] @ change.double().T)
    return torch.linalg.lstsq(torch.cat(stacked), torch.cat(targets)).solution.T


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.3, 2.2, 0.5)])
def test_regmean_is_least_squares_on_each_plugins_own_inputs(tiny_base: BaseModule, weights: tuple[float, ...]) -> None:
    arriving = branches(tiny_base, ipc=20)
    found = regmean(
        members(arriving, weights), tiny_base, choose_settings(method="regmean", parameters={"ridge": RIDGE})
    )
    plugins = [branch.plugin.deltas(tiny_base) for branch in arriving]
    for site in tiny_base.sites:
        rows = [inputs_at(tiny_base, site, b.distilled.images, p) for b, p in zip(arriving, plugins, strict=True)]
        wanted = least_squares(rows, [plugin[site] for plugin in plugins], weights)
        torch.testing.assert_close(found[site], wanted, rtol=1e-3, atol=1e-4)
        mean = sum(plugin[site] for plugin in plugins) / len(plugins)
        assert float((found[site] - mean).norm() / mean.norm()) > 0.05, "and it is no mere mean"


def test_regmean_plus_plus_takes_its_inputs_from_what_is_merged_so_far(tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base, ipc=20)
    chosen = choose_settings(method="regmean++", parameters={"ridge": RIDGE})
    found = regmean_plus_plus(members(arriving), tiny_base, chosen)
    merged: dict[str, Tensor] = {}
    for layer in in_order(tiny_base.sites):
        solved = {}
        for site in layer:
            rows = [inputs_at(tiny_base, site, branch.distilled.images, merged) for branch in arriving]
            changes = [branch.plugin.delta(site, tiny_base) for branch in arriving]
            solved[site] = least_squares(rows, changes, (1.0, 1.0, 1.0))
            torch.testing.assert_close(found[site], solved[site], rtol=1e-3, atol=1e-4)
        merged |= solved
    apart = regmean(members(arriving), tiny_base, chosen)
    last = tiny_base.sites[-1]
    assert float((found[last] - apart[last]).norm() / found[last].norm()) > 0.01, "it is not RegMean"


def test_layers_are_solved_in_the_order_in_which_an_image_passes_them(tiny_base: BaseModule) -> None:
    layers, passed = in_order(tiny_base.sites), []
    hooks = [
        tiny_base.visual.get_submodule(site).register_forward_hook(lambda *_, site=site: passed.append(site))
        for site in tiny_base.sites
    ]
    tiny_base.visual(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    assert [site for layer in layers for site in layer] == passed
    assert [len(layer) for layer in layers] == [2, 2, 1]


def test_a_gram_matrix_is_the_mean_over_rows_however_many_images_run_together(tiny_base: BaseModule) -> None:
    images = torch.randn(150, 3, 32, 32, generator=torch.Generator().manual_seed(3)).half()
    change = branches(tiny_base, 1)[0].plugin.deltas(tiny_base)
    found = gram_matrices(tiny_base, images, change, tiny_base.sites)
    for site in tiny_base.sites:
        rows = inputs_at(tiny_base, site, images, change)
        torch.testing.assert_close(found[site], rows.T @ rows / len(rows), rtol=1e-4, atol=1e-5)


@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 4),
    rows=st.integers(1, 12),
    off_diagonal=st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(max_examples=30, deadline=None)
def test_equal_weight_changes_come_out_as_they_are(seed: int, count: int, rows: int, off_diagonal: float) -> None:
    """Also where fewer rows than inputs say anything (rank deficiency), and for one alone."""
    random = torch.Generator().manual_seed(seed)
    change = torch.randn(5, 8, generator=random)
    regression = Regression(off_diagonal, 1e-3)
    for _ in range(count):
        x = torch.randn(rows, 8, generator=random, dtype=torch.float64)
        regression.add(change, x.T @ x / rows)
    torch.testing.assert_close(regression.solve(), change.double(), rtol=1e-9, atol=1e-9)


def test_without_off_diagonal_entries_every_input_weighs_for_itself() -> None:
    random = torch.Generator().manual_seed(1)
    changes = torch.randn(3, 4, 6, generator=random, dtype=torch.float64)
    x = torch.randn(3, 50, 6, generator=random, dtype=torch.float64)
    regression = Regression(0.0, 0.0)
    for change, rows in zip(changes, x, strict=True):
        regression.add(change, rows.T @ rows)
    energy = x.square().sum(dim=1)
    torch.testing.assert_close(regression.solve(), (changes * energy.unsqueeze(1)).sum(0) / energy.sum(0))


def test_where_no_image_says_anything_the_mean_remains() -> None:
    """Rows see three of six inputs; what the plugins do with the others is averaged."""
    random = torch.Generator().manual_seed(2)
    changes = torch.randn(2, 4, 6, generator=random, dtype=torch.float64)
    regression = Regression(1.0, 1e-6)
    for change in changes:
        x = torch.cat([torch.randn(40, 3, generator=random), torch.zeros(40, 3)], dim=1).double()
        regression.add(change, x.T @ x / 40, weight=1.0)
    torch.testing.assert_close(regression.solve()[:, 3:], changes.mean(0)[:, 3:], rtol=0.2, atol=0.2)


@pytest.mark.parametrize("method", ["regmean", "regmean++"])
def test_a_branch_of_many_images_counts_for_more_where_asked(tiny_base: BaseModule, method: str) -> None:
    arriving = branches(tiny_base, 2, ipc=10)
    sizes = {"training_images": 100_000}, {"training_images": 10}
    arriving = [
        Branch(b.manifest.model_copy(update=size), b.plugin, b.distilled)
        for b, size in zip(arriving, sizes, strict=True)
    ]
    change = arriving[0].plugin.deltas(tiny_base)
    distances = []
    for weights in ("equal", "images"):
        item = fold_in_memory(tiny_base, choose_settings(method=method, weights=weights), arriving)[-1].item
        found = item.weight_change(tiny_base)
        distances.append(sum(float((found[site] - change[site]).square().sum()) for site in change))
    assert distances[1] < 0.1 * distances[0]
