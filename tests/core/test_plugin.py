import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import peft
import pytest
import torch

from medforge.adapt import adapt, extract, orthogonality
from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidBranch, InvalidInput
from medforge.peft_format import CONFIG_FILE, WEIGHTS_FILE
from medforge.plugin import Factors, Plugin, PluginKind, PluginSettings, check_plugin
from tests.making import make_plugin, make_ragged

KINDS = pytest.mark.parametrize("kind", get_args(PluginKind))


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_delta_is_scaled_up_times_down(tiny_base: BaseModule) -> None:
    plugin = make_plugin(tiny_base, rank=3, alpha=6.0)
    site = tiny_base.sites[1]
    factors = plugin.factors[site]
    expected = torch.zeros(tiny_base.site_shape(site))
    for r in range(3):
        expected += 6.0 / 3 * torch.outer(factors.up[:, r], factors.down[r])
    assert torch.allclose(plugin.delta(site, tiny_base), expected, atol=1e-6)


def test_a_doras_delta_is_the_published_formula_row_by_row(tiny_base: BaseModule) -> None:
    plugin = make_plugin(tiny_base, rank=3, alpha=6.0, kind="dora")
    for site in tiny_base.sites[:2]:
        factors, frozen = plugin.factors[site], tiny_base.weight(site)
        assert factors.magnitude is not None
        for row in range(len(frozen)):
            direction = frozen[row] + 6.0 / 3 * factors.up[row] @ factors.down
            expected = factors.magnitude[row] * direction / direction.square().sum().sqrt() - frozen[row]
            assert torch.allclose(plugin.delta(site, tiny_base)[row], expected, atol=1e-5)


def test_an_svd_loras_delta_has_its_diagonal_between_the_factors(tiny_base: BaseModule) -> None:
    plugin, site = make_plugin(tiny_base, rank=3, alpha=6.0, kind="svd-lora"), tiny_base.sites[1]
    factors = plugin.factors[site]
    assert factors.diagonal is not None
    assert (factors.diagonal < 0).any()
    expected = 6.0 / 3 * factors.up @ torch.diag(factors.diagonal) @ factors.down
    assert torch.allclose(plugin.delta(site, tiny_base), expected, atol=1e-6)


@KINDS
def test_low_rank_factors_multiply_to_the_delta(tiny_base: BaseModule, kind: PluginKind) -> None:
    plugin = make_plugin(tiny_base, kind=kind)
    for site in tiny_base.sites:
        pair = plugin.low_rank(site)
        if kind == "dora":
            assert pair is None
        else:
            assert pair is not None
            assert [pair[0].shape[1], pair[1].shape[0]] == [2, 2]
            assert torch.allclose(pair[0] @ pair[1], plugin.delta(site, tiny_base), atol=1e-6)


def test_an_svd_lora_may_have_a_smaller_rank_at_some_sites(tiny_base: BaseModule, tmp_path: Path) -> None:
    plugin = make_ragged(tiny_base)
    check_plugin(plugin, tiny_base)
    plugin.save(tmp_path)
    again = Plugin.load(tmp_path)
    assert (again.digest, again.settings) == (plugin.digest, plugin.settings)
    wrong = replace(plugin, settings=plugin.settings.model_copy(update={"ranks": {tiny_base.sites[0]: 2}}))
    with pytest.raises(InvalidBranch, match=r"factors at .* are .*\(1, 32\).* is due"):
        check_plugin(wrong, tiny_base)
    # PEFT prunes a whole adapter by such a pattern, and keeps its scaling
    tower = adapt(tiny_base, PluginSettings(rank=1), seed=0).unload()
    model = peft.PeftModel.from_pretrained(tower, tmp_path).eval()
    with torch.no_grad():
        assert torch.allclose(model(images()), tiny_base.embed(images(), plugin.deltas(tiny_base)), atol=1e-3)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_ragged_plugin_can_be_trained_further(tiny_spec: str, dtype: str) -> None:
    base = load_base(tiny_spec, device="cpu", dtype=dtype)
    start = make_ragged(base)
    model = adapt(base, start.settings, seed=0, start=start)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert len(trained) == 3 * len(base.sites)
    assert {p.dtype for p in trained} == {torch.float32}
    assert extract(model, base, start.settings).digest == start.digest


def test_ranks_are_an_svd_loras_alone_and_smaller() -> None:
    with pytest.raises(ValueError, match="a lora has one rank at all sites"):
        PluginSettings(rank=4, ranks={"site": 2})
    with pytest.raises(ValueError, match="whose rank is smaller"):
        PluginSettings(kind="svd-lora", rank=4, ranks={"site": 4})
    assert "ranks" not in PluginSettings().model_dump()


def test_orthogonality_is_the_published_penalty(tiny_base: BaseModule) -> None:
    plugin = make_plugin(tiny_base, rank=3, kind="svd-lora")
    expected = 0.0
    for factors in plugin.factors.values():
        for i in range(3):
            for j in range(3):
                expected += float(factors.up[:, i] @ factors.up[:, j] - float(i == j)) ** 2
                expected += float(factors.down[i] @ factors.down[j] - float(i == j)) ** 2
    model = adapt(tiny_base, plugin.settings, seed=0, start=plugin)
    assert float(orthogonality(model)) == pytest.approx(expected, rel=1e-4)


@KINDS
def test_round_trip_keeps_bytes_and_digest(tiny_base: BaseModule, tmp_path: Path, kind: PluginKind) -> None:
    plugin = make_plugin(tiny_base, kind=kind)
    plugin.save(tmp_path)
    again = Plugin.load(tmp_path)
    assert again.files() == plugin.files()
    assert again.digest == plugin.digest
    assert again.settings == plugin.settings
    assert make_plugin(tiny_base, seed=1, kind=kind).digest != plugin.digest


@KINDS
def test_peft_itself_loads_the_directory(tiny_base: BaseModule, tmp_path: Path, kind: PluginKind) -> None:
    plugin = make_plugin(tiny_base, kind=kind)
    plugin.save(tmp_path)
    tower = adapt(tiny_base, plugin.settings, seed=0).unload()
    model = peft.PeftModel.from_pretrained(tower, tmp_path).eval()
    # PEFT's AdaLoRA layer scales by alpha / (rank + 1e-5)
    exact = 1e-3 if kind == "svd-lora" else 1e-5
    with torch.no_grad():
        assert torch.allclose(model(images()), tiny_base.embed(images(), plugin.deltas(tiny_base)), atol=exact)


@KINDS
def test_adapt_starts_as_the_base_and_shares_its_weights(tiny_base: BaseModule, kind: PluginKind) -> None:
    model = adapt(tiny_base, PluginSettings(kind=kind, rank=2), seed=0).eval()
    with torch.no_grad():
        assert torch.allclose(model(images()), tiny_base.embed(images()), atol=1e-6)
    frozen = {p.data_ptr() for p in tiny_base.visual.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    untrained = [p for name, p in model.named_parameters() if not p.requires_grad and "ranknum" not in name]
    assert all(p.data_ptr() in frozen for p in untrained)
    assert len(trained) == (2 if kind == "lora" else 3) * len(tiny_base.sites)
    assert {p.dtype for p in trained} == {torch.float32}


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@KINDS
def test_the_trained_model_is_the_base_with_the_extracted_change(tiny_spec: str, kind: PluginKind, dtype: str) -> None:
    base = load_base(tiny_spec, device="cpu", dtype=dtype)
    settings = PluginSettings(kind=kind, rank=2, dropout=0)
    model = adapt(base, settings, seed=0)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        model(images().to(base.dtype)).float().square().mean().backward()
        optimiser.step()
    plugin = extract(model, base, settings)
    assert all(change.abs().max() > 1e-3 for change in plugin.deltas(base).values())
    with torch.no_grad():
        trained, rebuilt = model.eval()(images().to(base.dtype)).float(), base.embed(images(), plugin.deltas(base))
        moved = (trained - base.embed(images())).norm()
    # in bf16 the two sum in another order, so they agree to that type's eight bits
    assert (trained - rebuilt).norm() < (1e-4 if dtype == "fp32" else 5e-2) * moved + 1e-2 * trained.norm() * (
        dtype == "bf16"
    )


def test_adapt_is_seeded_and_leaves_the_global_generator_alone(tiny_base: BaseModule) -> None:
    before = torch.get_rng_state()
    one, two, other = (
        extract(adapt(tiny_base, s, seed), tiny_base, s)
        for s, seed in [(PluginSettings(rank=2), 5)] * 2 + [(PluginSettings(rank=2), 6)]
    )
    assert one.digest == two.digest != other.digest
    assert torch.equal(before, torch.get_rng_state())


@KINDS
def test_extract_returns_what_adapt_started_from(tiny_base: BaseModule, kind: PluginKind) -> None:
    plugin = make_plugin(tiny_base, kind=kind)
    model = adapt(tiny_base, plugin.settings, seed=0, start=plugin)
    assert extract(model, tiny_base, plugin.settings).digest == plugin.digest


def broken(plugin: Plugin, site: str, **change: torch.Tensor) -> Plugin:
    return replace(plugin, factors={**plugin.factors, site: replace(plugin.factors[site], **change)})


def test_wrong_content_is_named(tiny_base: BaseModule) -> None:
    plugin, site = make_plugin(tiny_base), tiny_base.sites[0]
    check_plugin(plugin, tiny_base)
    with pytest.raises(InvalidBranch, match="not finite"):
        check_plugin(broken(plugin, site, up=plugin.factors[site].up * float("nan")), tiny_base)
    with pytest.raises(InvalidBranch, match=r"factors at .* is due"):
        check_plugin(broken(plugin, site, down=torch.zeros(2, 7)), tiny_base)
    with pytest.raises(InvalidBranch, match="does not adapt the base module's layers"):
        check_plugin(replace(plugin, factors={"elsewhere": Factors(torch.zeros(2, 3), torch.zeros(3, 2))}), tiny_base)
    with pytest.raises(InvalidBranch, match=r"lora plugin's factors at .* 'magnitude': \(3,\)} where .* is due"):
        check_plugin(broken(plugin, site, magnitude=torch.zeros(3)), tiny_base)
    dora = make_plugin(tiny_base, kind="dora")
    check_plugin(dora, tiny_base)
    with pytest.raises(InvalidBranch, match=r"'magnitude': \(3,\)} where .* 'magnitude': \(32,\)} is due"):
        check_plugin(broken(dora, site, magnitude=torch.zeros(3)), tiny_base)
    with pytest.raises(InvalidBranch, match="not finite"):
        check_plugin(broken(dora, site, magnitude=torch.full((32,), float("inf"))), tiny_base)


def test_wrong_files_are_named(tiny_base: BaseModule, tmp_path: Path) -> None:
    files = make_plugin(tiny_base).files()
    with pytest.raises(InvalidInput, match="cannot read the plugin at"):
        Plugin.load(tmp_path / "nowhere")
    with pytest.raises(CorruptFile, match="is not a whole safetensors file"):
        Plugin.parse({**files, WEIGHTS_FILE: files[WEIGHTS_FILE][:100]})
    with pytest.raises(InvalidBranch, match="no usable adapter_config"):
        Plugin.parse({**files, CONFIG_FILE: b"{}"})
    for change, sentence in (
        ({"use_rslora": True}, "no plain LoRA, DoRA or SVD-LoRA adapter \\(use_rslora is True\\)"),
        ({"use_dora": True}, "holds only a part of its dora factors"),
        ({"rank_pattern": {"site": 1}}, "no plain LoRA, DoRA or SVD-LoRA adapter \\(rank_pattern is"),
        ({"peft_type": "ADALORA"}, "no usable adapter_config"),
        ({"peft_type": "ADALORA", "init_r": 2}, "holds only a part of its svd-lora factors"),
        ({"peft_type": "ADALORA", "init_r": 2, "rank_pattern": {"x.lora_E": [1, 2]}}, "no usable adapter_config"),
        ({"peft_type": "ADALORA", "init_r": 2, "rank_pattern": {"x.lora_E": [False] * 2}}, "no usable adapter_config"),
    ):
        config = json.dumps({**json.loads(files[CONFIG_FILE]), **change}).encode()
        with pytest.raises(InvalidBranch, match=sentence):
            Plugin.parse({**files, CONFIG_FILE: config})
    shutil.rmtree(tmp_path)
