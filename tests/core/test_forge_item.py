import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from medforge.base_module import BaseModule
from medforge.errors import BaseMismatch, CorruptFile, InvalidInput
from medforge.forge_item import ForgeItem, FusedPlugin, Level, Member, Mixture, WeightChange
from medforge.mixing import mix
from medforge.prototype_gate import PrototypeGate
from tests.making import make_distilled, make_plugin

PROMPTS = ("benign tissue", "malignant tissue", "something else")


def images(count: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def members(base: BaseModule, *coefficients: float) -> tuple[Member, ...]:
    return tuple(Member(f"{i:064x}", make_plugin(base, seed=i), c) for i, c in enumerate(coefficients))


class UnfoldedLayer(torch.nn.Module):
    """W x + Σ_k c_k · scaling_k · B_k (A_k x), the paper's equation, one plugin after another."""

    def __init__(self, layer: torch.nn.Linear, site: str, mixture: Mixture) -> None:
        super().__init__()
        self.layer, self.site, self.mixture = layer, site, mixture

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x)
        for member in self.mixture.members:
            factors = member.plugin.factors[self.site]
            y = y + member.coefficient * member.plugin.settings.scaling * F.linear(
                F.linear(x, factors.down), factors.up
            )
        return y


def test_layer_mixture_folds_to_one_pass_equal_to_the_unfolded_sum(tiny_base: BaseModule) -> None:
    mixture = Mixture(members(tiny_base, 0.7, -0.4, 1.1), "layer")
    folded = mixture.logits(tiny_base, images(), PROMPTS)
    tower = tiny_base.visual
    originals = {site: tower.get_submodule(site) for site in tiny_base.sites}
    try:
        for site, layer in originals.items():
            tower.set_submodule(site, UnfoldedLayer(layer, site, mixture))
        unfolded = tiny_base.logits(tiny_base.visual(images()), PROMPTS)
    finally:
        for site, layer in originals.items():
            tower.set_submodule(site, layer)
    assert torch.allclose(folded, unfolded, atol=1e-4)


def test_output_mixture_is_the_weighted_sum_of_probabilities(tiny_base: BaseModule) -> None:
    mixture = Mixture(members(tiny_base, 0.25, 0.5), "output")
    expected = torch.zeros(5, 3)
    for member in mixture.members:
        single = tiny_base.logits(tiny_base.embed(images(), member.plugin.deltas(tiny_base)), PROMPTS)
        expected += member.coefficient * single.softmax(dim=1)
    expected /= expected.sum(dim=1, keepdim=True)
    assert torch.allclose(mixture.logits(tiny_base, images(), PROMPTS).softmax(dim=1), expected, atol=1e-5)


def test_a_weight_change_is_what_a_plugin_of_that_change_is(tiny_base: BaseModule) -> None:
    plugin = make_plugin(tiny_base, kind="dora")
    item = WeightChange.of(tiny_base, plugin.deltas(tiny_base))
    wanted = FusedPlugin(plugin)
    assert torch.equal(item.logits(tiny_base, images(), PROMPTS), wanted.logits(tiny_base, images(), PROMPTS))
    folded = wanted.weight_change(tiny_base)
    assert all(torch.equal(change, folded[site]) for site, change in item.weight_change(tiny_base).items())
    assert item.plugins() == ()
    with pytest.raises(BaseMismatch, match="give the forge's base"):
        item.check(type("Other", (), {"fingerprint": "f" * 64})())  # type: ignore[arg-type]


@pytest.mark.parametrize("level", ["output", "layer"])
def test_one_plugin_at_weight_one_is_the_plugin(tiny_base: BaseModule, level: Level) -> None:
    plugin = make_plugin(tiny_base)
    alone = FusedPlugin(plugin).logits(tiny_base, images(), PROMPTS).softmax(dim=1)
    mixture = Mixture((Member("0" * 64, plugin, 1.0),), level)
    assert torch.allclose(mixture.logits(tiny_base, images(), PROMPTS).softmax(dim=1), alone, atol=1e-5)


@pytest.mark.parametrize("level", ["output", "layer"])
def test_gated_mixture_sends_each_image_to_one_plugin(tiny_base: BaseModule, level: Level) -> None:
    datasets = [make_distilled(tiny_base, seed) for seed in (0, 1)]
    gate = PrototypeGate.fit([tiny_base.embed_all(d.images) for d in datasets], [d.labels for d in datasets])
    mixture = Mixture(members(tiny_base, 1.0, 1.0), level, gate)
    inputs = torch.cat([make_distilled(tiny_base, seed).images.float() for seed in (0, 1)])
    choice = gate.choose(tiny_base.embed_all(inputs))
    assert set(choice.tolist()) == {0, 1}
    logits = mixture.logits(tiny_base, inputs, PROMPTS)
    for index, chosen in enumerate(choice.tolist()):
        single = FusedPlugin(mixture.members[chosen].plugin).logits(tiny_base, inputs[index : index + 1], PROMPTS)
        assert torch.allclose(logits[index], single[0], atol=1e-4)


def test_gate_takes_the_nearest_class_mean() -> None:
    one_each = [torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([[0.0, 5.0]])]
    gate = PrototypeGate.fit(one_each, [torch.tensor([0, 1]), torch.tensor([0])])
    assert gate.choose(torch.tensor([[1.0, 1.0], [0.0, 4.0], [9.0, 1.0]])).tolist() == [0, 1, 0]
    assert torch.equal(gate.weights(torch.tensor([[0.0, 4.0]])), torch.tensor([[0.0, 1.0]]))


def test_gate_measures_by_the_pooled_covariance_within_classes() -> None:
    random = torch.Generator().manual_seed(0)
    wide = torch.tensor([5.0, 0.2, 1.0])
    embeddings = [torch.randn(40, 3, generator=random) * wide + shift for shift in (0.0, torch.tensor([0.0, 1.0, 0.0]))]
    labels = [torch.arange(40) % 2 for _ in embeddings]
    gate = PrototypeGate.fit(embeddings, labels, shrinkage=0.1)
    residuals, means = [], []
    for rows, classes in zip(embeddings, labels, strict=True):
        for c in (0, 1):
            means.append(rows[classes == c].double().mean(dim=0))
            residuals.extend(rows[classes == c].double() - means[-1])
    covariance = sum(torch.outer(r, r) for r in residuals) / len(residuals)
    covariance += 0.1 * covariance.trace() / 3 * torch.eye(3, dtype=torch.float64)
    for x in torch.randn(20, 3, generator=random).double() * wide:
        distances = [float((x - m) @ torch.linalg.inv(covariance) @ (x - m)) for m in means]
        assert gate.choose(x[None]).item() == distances.index(min(distances)) // 2


def test_items_survive_the_disk(tiny_base: BaseModule, tmp_path: Path) -> None:
    gate = PrototypeGate.fit([torch.zeros(1, 16), torch.ones(1, 16)], [torch.zeros(1), torch.zeros(1)])
    items: list[ForgeItem] = [
        FusedPlugin(make_plugin(tiny_base)),
        WeightChange.of(tiny_base, make_plugin(tiny_base).deltas(tiny_base)),
        Mixture(members(tiny_base, 0.1, 1 / 3), "output"),
        Mixture(members(tiny_base, 0.1, 1 / 3), "layer"),
        Mixture(members(tiny_base, 1.0, 1.0), "output", gate),
    ]
    for index, item in enumerate(items):
        item.save(tmp_path / str(index))
        again = ForgeItem.load(tmp_path / str(index))
        assert again.digest == item.digest
        expected = item.logits(tiny_base, images(), PROMPTS)
        assert torch.equal(again.logits(tiny_base, images(), PROMPTS), expected)
        again.check(tiny_base)
    assert len({item.digest for item in items}) == len(items)


def test_faults_are_named(tiny_base: BaseModule, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"holds no forge_item\.json; make it with `medforge checkout`"):
        ForgeItem.load(tmp_path)
    item = Mixture(members(tiny_base, 1.0), "output")
    files = item.files()
    files.pop(next(name for name in files if name.startswith("members/")))
    with pytest.raises(CorruptFile, match="the forge item is not whole"):
        ForgeItem.parse(files)
    card = json.loads(item.files()["forge_item.json"])
    card["members"][0]["branch"] = "../../elsewhere"
    with pytest.raises(CorruptFile, match="is no digest"):
        ForgeItem.parse({**item.files(), "forge_item.json": json.dumps(card).encode()})
    with pytest.raises(InvalidInput, match="only a layer-level mixture"):
        item.weight_change(tiny_base)
    with pytest.raises(BaseMismatch, match="give the forge's base"):
        item.check(type("Other", (), {"fingerprint": "f" * 64})())  # type: ignore[arg-type]


@given(st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3), st.floats(0.1, 10))
def test_mix_gives_probabilities_and_ignores_scale(weights: list[float], scale: float) -> None:
    probabilities = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(dim=2)
    coefficients = torch.tensor(weights, dtype=torch.float64)
    mixed = mix(probabilities, coefficients)
    assert torch.allclose(mixed.exp().sum(dim=1), torch.ones(4, dtype=torch.float64))
    if (coefficients >= 0).all() and coefficients.sum() > 1e-3:
        assert torch.allclose(mix(probabilities, coefficients * scale), mixed, atol=1e-6)
