"""Singular triples of one plugin's weight change, from its factors where it has a low-rank one."""

from medforge.base_module import BaseModule
from medforge.low_rank import Triples, svd_of, svd_of_sum
from medforge.plugin import Plugin


def triples_of(plugin: Plugin, site: str, base: BaseModule) -> Triples:
    """Return the singular triples of ΔW at a site; a DoRA's has no factors, and is decomposed as it is."""
    pair = plugin.low_rank(site)
    return svd_of(plugin.delta(site, base)) if pair is None else svd_of_sum([pair], [1.0])
