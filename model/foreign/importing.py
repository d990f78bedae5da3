"""An adapter that was made elsewhere, as a plugin with the same weight change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.base_module import BaseModule
from medforge.errors import BaseMismatch, InvalidBranch
from medforge.model.foreign.adapter_config import AdapterConfig
from medforge.model.foreign.adapter_files import AdapterFiles, read_adapter
from medforge.model.foreign.adapter_layers import SiteWeights, names_in_models, weights_by_site
from medforge.plugin import Factors, Plugin, PluginSettings, check_plugin

_PARTS = {"lora": {"A", "B"}, "dora": {"A", "B", "magnitude_vector"}, "adalora": {"A", "B", "E"}}


class Imported(NamedTuple):
    """Hold the plugin, the sites that the adapter has, and what it says of its base."""

    plugin: Plugin
    sites: tuple[str, ...]
    said: str


def import_adapter(directory: Path, base: BaseModule) -> Imported:
    """Read a PEFT adapter as a plugin of a base module, whose weight change is the adapter's own.

    LoRA, rsLoRA and DoRA with patterns of ranks and alphas become one LoRA or DoRA of the largest rank; AdaLoRA becomes
    an SVD-LoRA of the ranks it was left. A site that the adapter does not have is changed by nothing. Raises
    InvalidInput, CorruptFile, InvalidBranch or BaseMismatch with the reason.
    """
    adapter = read_adapter(directory)
    config = AdapterConfig.read(adapter.config, directory)
    said = str(adapter.config.get("base_model_name_or_path") or "")
    named = adapter.base or (said.removeprefix("medforge:") if said.startswith("medforge:") else base.fingerprint)
    if named != base.fingerprint:
        raise BaseMismatch(
            f"{directory} was made on base module {named[:12]}, not on {base.fingerprint[:12]} ({base.facts.spec}); "
            "give its own with --base"
        )
    weights = weights_by_site(adapter, base)
    for site, one in weights.items():
        _check(adapter, config, base, site, one)
    _check_whole(adapter, config, base, weights)
    plugin = _of_adalora(config, base, weights) if config.kind == "adalora" else _of_lora(config, base, weights)
    check_plugin(plugin, base)
    return Imported(plugin, tuple(sorted(weights)), said)


def _check(adapter: AdapterFiles, config: AdapterConfig, base: BaseModule, site: str, one: SiteWeights) -> None:
    """Check that a site has its parts, of the configured rank and of the base's shape."""
    if set(one.parts) != _PARTS[config.kind]:
        raise InvalidBranch(
            f"{adapter.where} has {', '.join(sorted(one.parts))} at {one.layer!r} where a {config.kind} has "
            f"{', '.join(sorted(_PARTS[config.kind]))}; save the adapter again"
        )
    (rows, columns), rank = base.site_shape(site), config.rank(one.layer)
    due = {"A": (rank, columns), "B": (rows, rank), "E": (rank, 1), "magnitude_vector": (rows,)}
    for part, tensor in sorted(one.parts.items()):
        if tuple(tensor.squeeze(0).shape if part == "magnitude_vector" else tensor.shape) != due[part]:
            raise InvalidBranch(
                f"{adapter.where} does not fit {base.facts.spec}: {part} at {one.layer!r} is {tuple(tensor.shape)} "
                f"where {due[part]} is due; give the adapter's own base with --base"
            )


def _check_whole(
    adapter: AdapterFiles, config: AdapterConfig, base: BaseModule, weights: Mapping[str, SiteWeights]
) -> None:
    """Refuse an adapter that says it adapts a layer, and has no weights for it."""
    for site, name in names_in_models(weights, base):
        if site not in weights and config.adapts(name):
            raise InvalidBranch(f"{adapter.where} has no weights for {name!r}, which it adapts; save the adapter again")


def _of_lora(config: AdapterConfig, base: BaseModule, weights: Mapping[str, SiteWeights]) -> Plugin:
    scalings = {site: config.scaling(one.layer) for site, one in weights.items()}
    # one scaling is kept, so that a plain LoRA's weights stay as they are
    common = next(iter(scalings.values()))
    if len(set(scalings.values())) > 1 or common <= 0:
        common = 1.0
    rank = max(config.rank(one.layer) for one in weights.values())
    factors = {site: _nothing(base, site, rank) for site in base.sites}
    for site, one in weights.items():
        up = one.parts["B"] * (scalings[site] / common)
        more = rank - up.shape[1]
        factors[site] = Factors(F.pad(one.parts["A"], (0, 0, 0, more)), F.pad(up, (0, more)))
    if config.kind == "dora":
        factors = {site: Factors(one.down, one.up, _magnitude(site, base, weights)) for site, one in factors.items()}
    settings = PluginSettings(
        kind="dora" if config.kind == "dora" else "lora", rank=rank, alpha=common * rank, dropout=config.lora_dropout
    )
    return Plugin(settings, base.fingerprint, factors)


def _magnitude(site: str, base: BaseModule, weights: Mapping[str, SiteWeights]) -> Tensor:
    """Return the lengths of a site's changed rows; where the adapter has none, those of the frozen ones."""
    if site in weights:
        return weights[site].parts["magnitude_vector"].reshape(-1)
    lengths: Tensor = torch.linalg.vector_norm(base.weight(site).detach().float().cpu(), dim=1)
    return lengths


def _of_adalora(config: AdapterConfig, base: BaseModule, weights: Mapping[str, SiteWeights]) -> Plugin:
    factors, ranks = {}, {}
    for site in base.sites:
        one = weights.get(site)
        if one is None or not len(one.parts["A"]):
            # nothing was left of it, and a plugin has a rank everywhere
            factors[site] = replace(_nothing(base, site, 1), diagonal=torch.zeros(1))
        else:
            factors[site] = Factors(one.parts["A"], one.parts["B"], diagonal=one.parts["E"].squeeze(1))
        if (rank := len(factors[site].down)) < config.init_r:
            ranks[site] = rank
    alpha = next(config.scaling(one.layer) for one in weights.values()) * config.init_r
    settings = PluginSettings(
        kind="svd-lora", rank=config.init_r, alpha=alpha, dropout=config.lora_dropout, ranks=ranks
    )
    return Plugin(settings, base.fingerprint, factors)


def _nothing(base: BaseModule, site: str, rank: int) -> Factors:
    rows, columns = base.site_shape(site)
    return Factors(torch.zeros(rank, columns), torch.zeros(rows, rank))
