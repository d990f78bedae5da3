"""Train with PEFT: put a fresh plugin on a base module, and take the trained one off."""

import copy

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.plugin import Factors, Plugin, PluginSettings
from medforge.seeds import derive


def adapt(base: BaseModule, settings: PluginSettings, seed: int, start: Plugin | None = None) -> PeftModel:
    """Make a PEFT model of the base's visual tower, ready to train: ``model(images)`` → [n, d].

    The frozen weights are shared with ``base``, not copied; only the plugin's float32 factors require gradients. They
    start from ``start`` where given, else from PEFT's initialisation (A uniform, B zero) drawn from ``seed``.
    """
    shared = {id(p): p for p in (*base.visual.parameters(), *base.visual.buffers())}
    tower = copy.deepcopy(base.visual, shared)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # PEFT annotates int and divides
        lora_dropout=settings.dropout,
        bias="none",
        target_modules=list(base.sites),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "plugin", "initial"))
        model = get_peft_model(tower, config)
    assert isinstance(model, PeftModel)
    if start is not None:
        _write(model, start)
    return model


def extract(model: PeftModel, base: BaseModule, settings: PluginSettings) -> Plugin:
    """Take a copy of the plugin off a PEFT model that ``adapt`` made."""
    factors = {}
    for site in sorted(base.sites):
        down, up = _weights(model, site)
        factors[site] = Factors(down=down.detach().float().cpu().clone(), up=up.detach().float().cpu().clone())
    return Plugin(settings, base.fingerprint, factors)


def _write(model: PeftModel, plugin: Plugin) -> None:
    with torch.no_grad():
        for site, factors in plugin.factors.items():
            down, up = _weights(model, site)
            down.copy_(factors.down)
            up.copy_(factors.up)


def _weights(model: PeftModel, site: str) -> tuple[Tensor, Tensor]:
    layer = model.get_base_model().get_submodule(site)
    assert isinstance(layer, LoraLinear)
    return layer.get_parameter("lora_A.default.weight"), layer.get_parameter("lora_B.default.weight")
