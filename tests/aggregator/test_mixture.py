import itertools
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from medforge.aggregator.forge import Forge
from medforge.aggregator.main_branch import MainBranch
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.distilled import DistilledDataset
from medforge.forge_item import Mixture
from tests.making import make_branch

from .forges import BUDGET, MODES, branches, fold_all, open_main, settings_of

IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(5))
PROMPTS = ("benign", "malignant", "uncertain")


def folded(directory: Path, base: BaseModule, arriving: list[Branch], *mode: str, budget: int = BUDGET) -> MainBranch:
    main = open_main(directory, base, settings_of(*mode, budget=budget))
    fold_all(main, arriving)
    return main


def asked(base: BaseModule, of: Branch, on: Branch) -> torch.Tensor:
    """The class probabilities that one branch's plugin gives to another's distilled images, written out."""
    embeddings = base.embed(on.distilled.images, of.plugin.deltas(base))
    return base.logits(embeddings, on.distilled.prompts).softmax(1).double()


@pytest.mark.parametrize("mode", MODES)
def test_the_first_arrival_becomes_the_main_branch_with_coefficient_one(
    tmp_path: Path, tiny_base: BaseModule, mode: tuple[str, str, str]
) -> None:
    branch = make_branch(tiny_base)
    main = folded(tmp_path, tiny_base, [branch], *mode)
    assert main.log()[0].coefficients == {branch.digest: 1.0}
    alone = tiny_base.logits(tiny_base.embed(IMAGES, branch.plugin.deltas(tiny_base)), PROMPTS).softmax(1)
    merged = main.checkout().logits(tiny_base, IMAGES, PROMPTS).softmax(1)
    torch.testing.assert_close(merged, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_the_commit_scores_what_the_forge_item_really_gives(
    tmp_path: Path, tiny_base: BaseModule, mode: tuple[str, str, str]
) -> None:
    arriving = branches(tiny_base)
    main = folded(tmp_path, tiny_base, arriving, *mode)
    item = main.checkout()
    for branch in arriving:
        logits = item.logits(tiny_base, branch.distilled.images, branch.distilled.prompts)
        score = main.log()[-1].metrics[branch.manifest.task]
        assert score.loss == pytest.approx(float(F.cross_entropy(logits, branch.distilled.labels)), abs=1e-4)
        assert score.acc == float((logits.argmax(1) == branch.distilled.labels).float().mean())


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


@pytest.mark.parametrize("mode", [m for m in MODES if m[1] == "layer" and m[0] == "mixture"])
def test_a_folded_layer_mixture_equals_the_sum_of_its_plugins(
    tmp_path: Path, tiny_base: BaseModule, mode: tuple[str, str, str]
) -> None:
    arriving = branches(tiny_base)
    main = folded(tmp_path, tiny_base, arriving, *mode)
    item, coefficients = main.checkout(), main.log()[-1].coefficients
    assert isinstance(item, Mixture)
    delta = item.fold(tiny_base)
    for site in tiny_base.sites:
        expected = sum(coefficients[b.digest] * b.plugin.delta(site, tiny_base) for b in arriving)
        torch.testing.assert_close(delta[site], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", [m for m in MODES if m[2] in ("joint", "gated")])
def test_joint_and_gated_do_not_depend_on_the_order_of_arrival(
    tmp_path: Path, tiny_base: BaseModule, mode: tuple[str, str, str]
) -> None:
    arriving = branches(tiny_base)
    ends = []
    for order in itertools.permutations(arriving):
        main = folded(tmp_path / "-".join(b.manifest.task for b in order), tiny_base, list(order), *mode)
        logits = main.checkout().logits(tiny_base, IMAGES, PROMPTS)
        ends.append((main.log()[-1], logits))
        main.forge.close()
    for commit, logits in ends:
        for digest, value in ends[0][0].coefficients.items():
            assert commit.coefficients[digest] == pytest.approx(value, abs=1e-6)
        torch.testing.assert_close(logits, ends[0][1], rtol=0, atol=1e-6)
    # the same model to the byte, whatever the history that led to it
    assert len({commit.item for commit, _ in ends}) == 1


def test_sequential_does_depend_on_the_order_of_arrival(tmp_path: Path, tiny_base: BaseModule) -> None:
    """So the test above can fail."""
    arriving = branches(tiny_base)
    mode = ("mixture", "output", "sequential")
    forth = folded(tmp_path / "forth", tiny_base, arriving, *mode).log()[-1].coefficients
    back = folded(tmp_path / "back", tiny_base, arriving[::-1], *mode).log()[-1].coefficients
    assert max(abs(forth[digest] - back[digest]) for digest in forth) > 1e-3


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
    arriving = [make_branch(tiny_base, seed, task="lung", contributor="centre") for seed in range(2)]
    for mode in MODES[1:]:
        main = folded(tmp_path / "-".join(mode), tiny_base, arriving, *mode)
        commit = main.log()[-1]
        assert set(commit.coefficients) == {b.digest for b in arriving}
        assert set(commit.metrics) == {"lung"}
        item = Forge.open(tmp_path / "-".join(mode)).load_item(commit)
        assert isinstance(item, Mixture)
        assert len(item.members) == 2
