"""TIES-Merging: trim, elect signs, and average what agrees."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medforge.aggregator.merge.listing import Parameter, scale_parameter
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.forge_item import WeightChange
from medforge.plugin import Plugin

TIES_PARAMETERS = {
    "density": Parameter(0.2, 0.0001, 1.0, "share of every plugin's entries that is kept, the largest"),
    "scale": scale_parameter(1.0),
}


def ties(plugins: Sequence[Plugin], base: BaseModule, density: float, scale: float) -> dict[str, Tensor]:
    """Merge weight changes as TIES does (Yadav et al. 2023, algorithm 1); λ is ``scale``, 1 in the paper.

    Trim: of a plugin's entries at all sites together, the share ``density`` (20 % in the paper) that is largest in
    magnitude stays, at least one; entries as large as the smallest of these stay too. Elect: the sign of an entry is
    that of the sum of its trimmed values; where they cancel it is the majority of all elected signs at all sites, and
    plus where these are as many. Average: the mean of the trimmed values of that sign, zeros not counted.

    The plugins are gone through three times, so that the changes of one site are held at a time (of one plugin, to
    trim). float32 [out, in] a site.
    """
    sites = plugins[0].sites
    thresholds = [_threshold(plugin, base, density) for plugin in plugins]

    def trimmed(site: str) -> Tensor:
        changes = [plugin.delta(site, base) for plugin in plugins]
        return torch.stack([trim(change, least) for change, least in zip(changes, thresholds, strict=True)])

    majority = 1 if sum(int(elect(trimmed(site)).sum()) for site in sites) >= 0 else -1
    return {site: scale * agreeing_mean(trimmed(site), majority) for site in sites}


def ties_of_parts(parts: Mapping[str, Tensor], density: float) -> dict[str, Tensor]:
    """Merge parts [N, …] of N plugins by name as `ties` merges weight changes; float32 […] by name."""
    count = len(next(iter(parts.values())))
    least = [
        threshold_of(torch.cat([part[k].abs().flatten() for part in parts.values()]), density) for k in range(count)
    ]

    def trimmed(name: str) -> Tensor:
        return torch.stack([trim(part, least[k]) for k, part in enumerate(parts[name])])

    majority = 1 if sum(int(elect(trimmed(name)).sum()) for name in parts) >= 0 else -1
    return {name: agreeing_mean(trimmed(name), majority) for name in parts}


def threshold_of(magnitudes: Tensor, density: float) -> Tensor:
    """Return the smallest of the round(density · n) largest of n magnitudes (at least one)."""
    count = magnitudes.numel()
    kept = min(max(round(density * count), 1), count)
    return magnitudes.flatten().kthvalue(count - kept + 1).values


def trim(change: Tensor, least: Tensor) -> Tensor:
    """Set what is smaller in magnitude than ``least`` to zero."""
    return torch.where(change.abs() >= least, change, 0.0)


def elect(trimmed: Tensor) -> Tensor:
    """Return the sign, −1, 0 or 1, of the sum of trimmed changes [N, …]."""
    return trimmed.sum(dim=0, dtype=torch.float64).sign()


def agreeing_mean(trimmed: Tensor, majority: int) -> Tensor:
    """Average the values of trimmed changes [N, …] that have the elected sign; ``majority`` is that of a sum of 0."""
    signs = elect(trimmed)
    signs = torch.where(signs == 0, float(majority), signs).to(trimmed)
    agrees = trimmed * signs > 0
    mean: Tensor = torch.where(agrees, trimmed, 0.0).sum(dim=0, dtype=torch.float64) / agrees.sum(dim=0).clamp_min(1)
    return mean.float()


def _threshold(plugin: Plugin, base: BaseModule, density: float) -> Tensor:
    return threshold_of(torch.cat([plugin.delta(site, base).abs().flatten() for site in plugin.sites]), density)


@merge_method(
    name="ties",
    item="weights",
    summary="weight changes are trimmed, a sign is elected for every entry, and what agrees with it is averaged",
    source="Yadav et al. 2023",
    parameters=TIES_PARAMETERS,
)
def merge(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> WeightChange:
    """Resolve what plugins disagree about, and average; also a single plugin, which is trimmed."""
    values = settings.parameters
    changes = ties([named.weighed for named in plugins], base, values["density"], values["scale"])
    return WeightChange.of(base, changes)
