"""Train with PEFT: put a fresh plugin on a base module, and take the trained one off."""

import copy
from typing import Any

import torch
from peft import AdaLoraConfig, LoraConfig, PeftModel, get_peft_model
from peft.tuners.adalora import SVDLinear
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from medforge.base_module import BaseModule
from medforge.plugin import Factors, Plugin, PluginSettings
from medforge.seeds import derive


def adapt(base: BaseModule, settings: PluginSettings, seed: int, start: Plugin | None = None) -> PeftModel:
    """Make a PEFT model of the base's visual tower, ready to train: ``model(images)`` → [n, d].

    The frozen weights are shared with ``base``, not copied; only the plugin's float32 factors require gradients. They
    start from ``start`` where given, else from PEFT's initialisation drawn from ``seed`` (A uniform, B zero; a DoRA's
    magnitudes are the lengths of the frozen rows; of an SVD-LoRA A and B are normal with deviation 0.02, E is zero).
    """
    shared = {id(p): p for p in (*base.visual.parameters(), *base.visual.buffers())}
    tower = copy.deepcopy(base.visual, shared)
    config = _config(base, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "plugin", "initial"))
        model = get_peft_model(tower, config)
        assert isinstance(model, PeftModel)
        if isinstance(config, AdaLoraConfig):
            _size(model, config, base, settings)
    if start is not None:
        _write(model, start)
    return model


def extract(model: PeftModel, base: BaseModule, settings: PluginSettings) -> Plugin:
    """Take a copy of the plugin off a PEFT model that ``adapt`` made."""
    factors = {}
    for site in sorted(base.sites):
        parts = {name: part.detach().float().cpu().clone() for name, part in _parts(model, site).items()}
        factors[site] = Factors(**parts)
    return Plugin(settings, base.fingerprint, factors)


def orthogonality(model: nn.Module) -> Tensor:
    """Return Σ over sites of ‖BᵀB − I‖²_F + ‖AAᵀ − I‖²_F of an SVD-LoRA that ``adapt`` made (Med-LEGO 2025, R(B, A)).

    Differentiable, a scalar. The norm is squared and summed; PEFT's own AdaLoRA penalty takes the mean of the norms.
    """
    layers = [module for module in model.modules() if isinstance(module, SVDLinear)]
    downs = [layer.lora_A.get_parameter("default") for layer in layers]
    ups = [layer.lora_B.get_parameter("default") for layer in layers]
    grams = [down @ down.T for down in downs] + [up.T @ up for up in ups]
    return torch.stack([(gram - torch.eye(len(gram), device=gram.device)).square().sum() for gram in grams]).sum()


def _config(base: BaseModule, settings: PluginSettings) -> LoraConfig:
    common: dict[str, Any] = {
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "bias": "none",
        "target_modules": list(base.sites),
    }
    if settings.kind != "svd-lora":
        return LoraConfig(r=settings.rank, use_dora=settings.kind == "dora", **common)
    # the rank allocation that AdaLoRA is named for is never run: one step is the least that PEFT accepts
    return AdaLoraConfig(init_r=settings.rank, target_r=settings.rank, total_step=1, **common)


def _size(model: PeftModel, config: AdaLoraConfig, base: BaseModule, settings: PluginSettings) -> None:
    """Set every site's own rank, and the scaling alpha / rank at all of them."""
    for site in base.sites:
        layer = model.get_base_model().get_submodule(site)
        assert isinstance(layer, SVDLinear)
        if site in settings.ranks:
            layer.update_layer("default", settings.ranks[site], config.lora_alpha, config=config)
        for parts in (layer.lora_A, layer.lora_B, layer.lora_E, layer.ranknum):
            # a new layer has the frozen weights' type, and small updates would be lost in bf16
            parts["default"].data = parts["default"].data.float()
        # the layer divides by this + 1e-5; where PEFT has cast it, it would be trained too
        layer.ranknum["default"].requires_grad_(False).fill_(settings.rank - 1e-5)


def _write(model: PeftModel, plugin: Plugin) -> None:
    with torch.no_grad():
        for site, factors in plugin.factors.items():
            for name, part in _parts(model, site).items():
                part.copy_(getattr(factors, name))


def _parts(model: PeftModel, site: str) -> dict[str, Tensor]:
    """Return the trained parameters at a site, by their names in `Factors`; E [r, 1] as the vector it is."""
    layer = model.get_base_model().get_submodule(site)
    if isinstance(layer, SVDLinear):
        return {
            "down": layer.lora_A["default"],
            "up": layer.lora_B["default"],
            "diagonal": layer.lora_E["default"].squeeze(1),
        }
    assert isinstance(layer, LoraLinear)
    named = {"down": "lora_A.default.weight", "up": "lora_B.default.weight"}
    if layer.use_dora["default"]:
        named["magnitude"] = "lora_magnitude_vector.default.weight"
    return {name: layer.get_parameter(path) for name, path in named.items()}
