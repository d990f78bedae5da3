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
    start from ``start`` where given, else from PEFT's initialisation drawn from ``seed`` (A uniform, B zero; a DoRA's
    magnitudes are the lengths of the frozen rows).
    """
    shared = {id(p): p for p in (*base.visual.parameters(), *base.visual.buffers())}
    tower = copy.deepcopy(base.visual, shared)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # PEFT annotates int and divides
        lora_dropout=settings.dropout,
        bias="none",
        use_dora=settings.kind == "dora",
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
        parts = {name: part.detach().float().cpu().clone() for name, part in _parts(model, site).items()}
        factors[site] = Factors(**parts)
    return Plugin(settings, base.fingerprint, factors)


def _write(model: PeftModel, plugin: Plugin) -> None:
    with torch.no_grad():
        for site, factors in plugin.factors.items():
            for name, part in _parts(model, site).items():
                part.copy_(getattr(factors, name))


def _parts(model: PeftModel, site: str) -> dict[str, Tensor]:
    """The trained parameters at a site, by their names in `Factors`."""
    layer = model.get_base_model().get_submodule(site)
    assert isinstance(layer, LoraLinear)
    named = {"down": "lora_A.default.weight", "up": "lora_B.default.weight"}
    if layer.use_dora["default"]:
        named["magnitude"] = "lora_magnitude_vector.default.weight"
    return {name: layer.get_parameter(path) for name, path in named.items()}
