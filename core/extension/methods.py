"""The names that a merge method of another package is written with; docs/how-to-add-a-merge-method.md uses them."""

from medforge.aggregator.coefficients.search import search_weights
from medforge.aggregator.merge.listing import Parameter
from medforge.aggregator.merge.method import FoldResult, MergeMethod, Round
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.forge_item import ForgeItem, FusedPlugin, Member, Mixture, WeightChange
from medforge.plugin import Plugin
from medforge.seeds import generator

__all__ = [
    "BaseModule",
    "FoldResult",
    "ForgeItem",
    "FusedPlugin",
    "InvalidBranch",
    "Member",
    "MergeMethod",
    "MethodSettings",
    "Mixture",
    "NamedPlugin",
    "Parameter",
    "Plugin",
    "Round",
    "WeightChange",
    "generator",
    "merge_method",
    "search_weights",
]
