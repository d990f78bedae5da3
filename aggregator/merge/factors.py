"""Weighted sums of plugins by their factors: what Fusion, LoRAHub and the factor average are made of."""

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.plugin import Factors, Plugin, PluginKind


def combine_factors(plugins: Sequence[Plugin], weights: Sequence[float], base: BaseModule) -> Plugin:
    """Weigh and add plugins factor by factor: B = Σ w_k B_k, A = Σ w_k A_k, so ΔW = (Σ w_k B_k)(Σ w_k A_k).

    Factors of a smaller rank are padded with zeros. √(alpha / rank) is folded into both factors of each plugin first,
    so plugins of different scaling combine by what they do; the result has the largest rank and scaling 1. A single
    plugin at weight 1, the others at 0, gives that plugin's weight change, and all at 0 give none. Cross terms
    (w_j w_k B_j A_k) are part of the sum, and a plugin's own part is w_k² ΔW_k: alone at −1 it is as at 1, for both of
    its factors change sign. The E of an SVD-LoRA is divided between its factors as scaling is, its signs go to B; the
    result is a LoRA then.

    A DoRA's magnitude is combined by its difference from the frozen row's length: m = ‖W‖ + Σ w_k (m_k − ‖W‖). Scaling
    magnitudes themselves would shrink or stretch the frozen weight unless the weights sum to 1.

    Raises InvalidBranch where the plugins do not adapt the same layers, or a DoRA meets another kind.
    """
    check_alike(plugins, [{"lora", "svd-lora"}, {"dora"}])
    first = plugins[0]
    rank = max(plugin.settings.rank for plugin in plugins)
    factors = {site: _add([_plain(p, site, rank) for p in plugins], weights, base, site) for site in first.sites}
    kind = "dora" if first.settings.kind == "dora" else "lora"
    settings = first.settings.model_copy(update={"kind": kind, "rank": rank, "alpha": float(rank), "ranks": {}})
    return Plugin(settings, first.base_fingerprint, factors)


def check_alike(plugins: Sequence[Plugin], families: Sequence[set[PluginKind]]) -> None:
    """Raise InvalidBranch unless the plugins adapt the same layers, and one family holds the kinds of all of them."""
    if any(plugin.sites != plugins[0].sites for plugin in plugins):
        raise InvalidBranch("the arriving plugin adapts other layers than the main branch does; train it on this base")
    kinds = {plugin.settings.kind for plugin in plugins}
    if not any(kinds <= family for family in families):
        raise InvalidBranch(
            f"plugins of kind {' and '.join(sorted(kinds))} cannot be combined factor by factor; "
            "train one kind, or merge by mixture or another method that adds weight changes"
        )


def _plain(plugin: Plugin, site: str, rank: int) -> Factors:
    """Bring a pair to scaling 1 and the given rank."""
    part, root = plugin.factors[site], sqrt(plugin.settings.scaling)
    down, up = root * part.down, root * part.up
    if part.diagonal is not None:
        roots = part.diagonal.abs().sqrt()
        down, up = roots.unsqueeze(1) * down, up * (part.diagonal.sign() * roots)
    missing = rank - plugin.settings.rank_at(site)
    return Factors(F.pad(down, (0, 0, 0, missing)), F.pad(up, (0, missing)), part.magnitude)


def _add(parts: Sequence[Factors], weights: Sequence[float], base: BaseModule, site: str) -> Factors:
    down, up = _weigh([part.down for part in parts], weights), _weigh([part.up for part in parts], weights)
    magnitudes = [part.magnitude for part in parts if part.magnitude is not None]
    if not magnitudes:
        return Factors(down, up)
    frozen = torch.linalg.vector_norm(base.weight(site).float().cpu(), dim=1)
    return Factors(down, up, frozen + _weigh([magnitude - frozen for magnitude in magnitudes], weights))


def _weigh(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = weights[0] * tensors[0]
    for weight, tensor in zip(weights[1:], tensors[1:], strict=True):
        total = total + weight * tensor
    return total
