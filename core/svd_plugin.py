"""Weight changes as an SVD-LoRA: what a merge leaves, and what training can begin from."""

from collections.abc import Iterable
from dataclasses import replace

from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.forge_item import ForgeItem, FusedPlugin
from medforge.low_rank import Triples, rank_by_energy, svd_of
from medforge.plugin import Factors, Plugin, PluginKind, PluginSettings
from medforge.plugin_settings import MOST_RANKS

ENERGY = 0.997
"""The share of the singular values' sum that Med-LEGO keeps (Med-LEGO 2025)."""

START_RANKS = 256
"""The most ranks of a plugin that stands for a dense weight change: what a forge admits by default."""


def svd_plugin(changes: Iterable[tuple[str, Triples]], fingerprint: str, energy: float = ENERGY) -> Plugin:
    """Write weight changes, each a site and its singular triples, as one SVD-LoRA of scaling 1.

    At every site the k ≥ 1 largest singular values e stay, k the
    smallest number with Σ_{j≤k} e_j ≥ energy · Σ_j e_j (Med-LEGO 2025), so ranks differ from site to site. The changes
    are taken one after another, and what is cut off one is given up before the next. Raises InvalidBranch where more
    would stay than a plugin may have.
    """
    factors = {site: _factors(triples.first(rank_by_energy(triples.values, energy))) for site, triples in changes}
    ranks = {site: part.up.shape[1] for site, part in factors.items()}
    rank = max(ranks.values())
    if rank > MOST_RANKS:
        raise InvalidBranch(
            f"{energy:g} of the singular values' sum takes rank {rank}, where a plugin has {MOST_RANKS} at most; "
            "merge with a smaller energy"
        )
    settings = PluginSettings(
        kind="svd-lora",
        rank=rank,
        alpha=float(rank),
        dropout=0,
        ranks={site: count for site, count in ranks.items() if count < rank},
    )
    return Plugin(settings, fingerprint, factors)


def plugin_of(item: ForgeItem, base: BaseModule) -> Plugin:
    """Return a merged model as one plugin: a fused one as it is, any other network by the SVD of its weight change.

    Of that at most 256 singular values stay at a site, so a dense change of a wide layer is met in part only.
    Raises InvalidInput for a mixture that is several networks, InvalidBranch or BaseMismatch where the item does not
    fit the base.
    """
    item.check(base)
    if isinstance(item, FusedPlugin):
        return item.plugin
    changes = ((site, svd_of(change).first(START_RANKS)) for site, change in item.weight_change(base).items())
    return svd_plugin(changes, base.fingerprint)


def share_kept(plugin: Plugin, item: ForgeItem, base: BaseModule) -> float:
    """Return 1 − ‖ΔW − ΔW′‖² / ‖ΔW‖² over all sites: how much of a merged model's weight change a plugin is."""
    changes = item.weight_change(base)
    lost = sum(float((change - plugin.delta(site, base)).square().sum()) for site, change in changes.items())
    whole = sum(float(change.square().sum()) for change in changes.values())
    return 1 - lost / whole if whole else 1.0


def kind_of(item: ForgeItem) -> PluginKind:
    """Return the kind of plugin that `plugin_of` makes of a merged model."""
    return item.plugin.settings.kind if isinstance(item, FusedPlugin) else "svd-lora"


def rescaled(plugin: Plugin, scaling: float) -> Plugin:
    """Write an SVD-LoRA with another alpha / rank, and E so much smaller: the same ΔW.

    The scaling says how fast E learns when training goes on, so whoever trains chooses it.
    """
    settings = plugin.settings.model_copy(update={"alpha": scaling * plugin.settings.rank})
    share = plugin.settings.scaling / scaling
    factors = {
        site: replace(part, diagonal=None if part.diagonal is None else share * part.diagonal)
        for site, part in plugin.factors.items()
    }
    return replace(plugin, settings=settings, factors=factors)


def _factors(triples: Triples) -> Factors:
    return Factors(
        down=triples.right.float().contiguous(),
        up=triples.left.float().contiguous(),
        diagonal=triples.values.float(),
    )
