import json
import shutil
from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch

from medforge.adapt import adapt, extract
from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidBranch, InvalidInput
from medforge.plugin import CONFIG_FILE, WEIGHTS_FILE, Factors, Plugin, PluginSettings, check_plugin
from tests.making import make_plugin


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_delta_is_scaled_up_times_down(tiny_base: BaseModule) -> None:
    plugin = make_plugin(tiny_base, rank=3, alpha=6.0)
    site = tiny_base.sites[1]
    factors = plugin.factors[site]
    expected = torch.zeros(tiny_base.site_shape(site))
    for r in range(3):
        expected += 6.0 / 3 * torch.outer(factors.up[:, r], factors.down[r])
    assert torch.allclose(plugin.delta(site), expected, atol=1e-6)


def test_round_trip_keeps_bytes_and_digest(tiny_base: BaseModule, tmp_path: Path) -> None:
    plugin = make_plugin(tiny_base)
    plugin.save(tmp_path)
    again = Plugin.load(tmp_path)
    assert again.files() == plugin.files()
    assert again.digest == plugin.digest
    assert again.settings == plugin.settings
    assert make_plugin(tiny_base, seed=1).digest != plugin.digest


def test_peft_itself_loads_the_directory(tiny_base: BaseModule, tmp_path: Path) -> None:
    plugin = make_plugin(tiny_base)
    plugin.save(tmp_path)
    tower = adapt(tiny_base, plugin.settings, seed=0).unload()
    model = peft.PeftModel.from_pretrained(tower, tmp_path).eval()
    with torch.no_grad():
        assert torch.allclose(model(images()), tiny_base.embed(images(), plugin.deltas()), atol=1e-5)


def test_adapt_starts_as_the_base_and_shares_its_weights(tiny_base: BaseModule) -> None:
    model = adapt(tiny_base, PluginSettings(rank=2), seed=0).eval()
    with torch.no_grad():
        assert torch.allclose(model(images()), tiny_base.embed(images()), atol=1e-6)
    frozen = {p.data_ptr() for p in tiny_base.visual.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.data_ptr() in frozen for p in model.parameters() if not p.requires_grad)
    assert len(trained) == 2 * len(tiny_base.sites)


def test_adapt_is_seeded_and_leaves_the_global_generator_alone(tiny_base: BaseModule) -> None:
    before = torch.get_rng_state()
    one, two, other = (
        extract(adapt(tiny_base, s, seed), tiny_base, s)
        for s, seed in [(PluginSettings(rank=2), 5)] * 2 + [(PluginSettings(rank=2), 6)]
    )
    assert one.digest == two.digest != other.digest
    assert torch.equal(before, torch.get_rng_state())


def test_extract_returns_what_adapt_started_from(tiny_base: BaseModule) -> None:
    plugin = make_plugin(tiny_base)
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


def test_wrong_files_are_named(tiny_base: BaseModule, tmp_path: Path) -> None:
    files = make_plugin(tiny_base).files()
    with pytest.raises(InvalidInput, match="cannot read the plugin at"):
        Plugin.load(tmp_path / "nowhere")
    with pytest.raises(CorruptFile, match="is not a whole safetensors file"):
        Plugin.parse({**files, WEIGHTS_FILE: files[WEIGHTS_FILE][:100]})
    with pytest.raises(InvalidBranch, match="no usable adapter_config"):
        Plugin.parse({**files, CONFIG_FILE: b"{}"})
    dora = json.dumps({**json.loads(files[CONFIG_FILE]), "use_dora": True}).encode()
    with pytest.raises(InvalidBranch, match="not a plain LoRA adapter \\(use_dora"):
        Plugin.parse({**files, CONFIG_FILE: dora})
    shutil.rmtree(tmp_path)
