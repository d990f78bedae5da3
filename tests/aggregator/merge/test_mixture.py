from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.distilled import DistilledDataset
from medforge.forge_item import Mixture
from tests.aggregator.forges import BUDGET, LISTINGS, MODES, Mode, branches, fold_all, open_main, settings_of
from tests.making import make_branch

MIXTURES = [mode for mode in MODES if LISTINGS[mode[0]].item == "mixture"]


def folded(directory: Path, base: BaseModule, arriving: list[Branch], *mode: str, budget: int = BUDGET) -> MainBranch:
    main = open_main(directory, base, settings_of(*mode, budget=budget))
    fold_all(main, arriving)
    return main


def asked(base: BaseModule, of: Branch, on: Branch) -> torch.Tensor:
    """The class probabilities that one branch's plugin gives to another's distilled images, written out."""
    embeddings = base.embed(on.distilled.images, of.plugin.deltas(base))
    return base.logits(embeddings, on.distilled.prompts).softmax(1).double()


def test_output_coefficients_are_composed_round_by_round(tmp_path: Path, tiny_base: BaseModule) -> None:
    """c_k = w′_k · Π_{j>k} w_j: the ratio of two earlier coefficients never changes again."""
    main = folded(tmp_path, tiny_base, branches(tiny_base), "mixture", "output", "sequential", budget=40)
    one, two, three = (commit.coefficients for commit in main.log())
    first, second, third = (commit.branch for commit in main.log())
    w = three[first] / two[first]
    assert one[first] == 1.0
    assert three[second] == pytest.approx(w * two[second])
    # w and w′ of each round sum to one
    assert two[first] + two[second] == pytest.approx(1)
    assert w + three[third] == pytest.approx(1)


def test_the_sequential_output_search_minimises_the_papers_objective(tmp_path: Path, tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base, 2)
    main = folded(tmp_path, tiny_base, arriving, "mixture", "output", "sequential", budget=40)
    found = [main.log()[1].coefficients[b.digest] for b in arriving]

    def objective(w: float, w_arriving: float) -> float:
        w, w_arriving = w / (w + w_arriving), w_arriving / (w + w_arriving)
        losses = []
        for on in arriving:
            mixed = (w * asked(tiny_base, arriving[0], on) + w_arriving * asked(tiny_base, arriving[1], on)).clamp_min(
                1e-12
            )
            mixed = mixed / mixed.sum(1, keepdim=True)
            losses.append(-sum(float(mixed[i, y].log()) for i, y in enumerate(on.distilled.labels)) / len(on.distilled))
        return sum(losses) / 2 + 0.05 * (abs(w) + abs(w_arriving)) / 2

    around = [(found[0] + a, found[1] - a) for a in (-0.2, -0.05, 0.05, 0.2)]
    assert objective(found[0], found[1]) <= min(objective(*pair) for pair in around) + 1e-3
    assert objective(found[0], found[1]) < min(objective(0.5, 0.5), objective(1, 0.5), objective(0.5, 1)) - 1e-3


def test_joint_output_weights_are_no_worse_than_any_other_on_the_simplex(tmp_path: Path, tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base)
    main = folded(tmp_path, tiny_base, arriving, "mixture", "output", "joint")
    coefficients = main.log()[-1].coefficients
    assert sum(coefficients.values()) == pytest.approx(1)
    assert min(coefficients.values()) >= 0

    def objective(weights: list[float]) -> float:
        losses = []
        for on in arriving:
            mixed = sum(w * asked(tiny_base, of, on) for w, of in zip(weights, arriving, strict=True))
            losses.append(float(F.nll_loss(mixed.log(), on.distilled.labels)))  # type: ignore[union-attr]
        return sum(losses) / len(losses)

    best = objective([coefficients[b.digest] for b in arriving])
    others = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1 / 3] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    assert all(best <= objective(other) + 1e-7 for other in others)


@pytest.mark.parametrize("mode", [m for m in MIXTURES if m[1] == "layer"])
def test_a_folded_layer_mixture_equals_the_sum_of_its_plugins(
    tmp_path: Path, tiny_base: BaseModule, mode: Mode
) -> None:
    arriving = branches(tiny_base)
    main = folded(tmp_path, tiny_base, arriving, *mode)
    item, coefficients = main.checkout(), main.log()[-1].coefficients
    assert isinstance(item, Mixture)
    delta = item.weight_change(tiny_base)
    for site in tiny_base.sites:
        expected = sum(coefficients[b.digest] * b.plugin.delta(site, tiny_base) for b in arriving)
        torch.testing.assert_close(delta[site], expected, rtol=1e-5, atol=1e-6)


def class_means(base: BaseModule, distilled: DistilledDataset) -> torch.Tensor:
    embeddings = base.embed_all(distilled.images)
    return torch.stack([embeddings[distilled.labels == c].mean(dim=0) for c in range(len(distilled.prompts))])


def test_the_gate_is_made_of_the_class_means_of_everything_that_arrived(tmp_path: Path, tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base)
    item = folded(tmp_path, tiny_base, arriving, "mixture", "output", "gated").checkout()
    assert isinstance(item, Mixture)
    assert item.gate is not None
    by_digest = {b.digest: b for b in arriving}
    expected = torch.cat([class_means(tiny_base, by_digest[m.branch].distilled) for m in item.members])
    torch.testing.assert_close(item.gate.prototypes, expected)


def test_gated_coefficients_are_the_share_of_images_sent_to_each_branch(tmp_path: Path, tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base)
    main = folded(tmp_path, tiny_base, arriving, "mixture", "output", "gated")
    item = main.checkout()
    assert isinstance(item, Mixture)
    assert item.gate is not None
    for index, member in enumerate(item.members):
        shares = [
            float((item.gate.choose(tiny_base.embed_all(b.distilled.images)) == index).float().mean()) for b in arriving
        ]
        assert main.log()[-1].coefficients[member.branch] == pytest.approx(sum(shares) / 3)


def test_two_branches_of_one_task_are_both_members(tmp_path: Path, tiny_base: BaseModule) -> None:
    arriving = [make_branch(tiny_base, seed, task="lung", contributor=f"centre {seed}") for seed in range(2)]
    for mode in MIXTURES:
        main = folded(tmp_path / "-".join(mode), tiny_base, arriving, *mode)
        commit = main.log()[-1]
        assert set(commit.coefficients) == {b.digest for b in arriving}
        assert set(commit.metrics) == {"lung"}
        item = Forge.open(tmp_path / "-".join(mode)).load_item(commit)
        assert isinstance(item, Mixture)
        assert len(item.members) == 2
