"""What a branch says that its training began from, where that is a model of this forge."""

from __future__ import annotations

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.item_table import ItemTable
from medforge.aggregator.main_branch.origin.weights import products, weight_likeness
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.base_module import BaseModule
from medforge.errors import MedForgeError
from medforge.forge_item import ForgeItem, Routed
from medforge.plugin import Plugin
from medforge.svd_plugin import plugin_of


def start_of(forge: Forge, branch: ArrivedBranch, base: BaseModule) -> Plugin | None:
    """Return the merged model that a branch began from as a plugin; None where it names none that is here.

    Of a routed model it is the expert that the branch is nearest to, since a manifest does not say which.
    """
    start = branch.manifest.start
    if start is None:
        return None
    commit = ItemTable(forge.ledger).commit_of(start)
    if commit is None:
        return None
    try:
        item = forge.load_item(commit)
        begun = [plugin_of(one, base) for one in _networks(item)]
    except MedForgeError:
        # erased, or several networks, which nobody begins from
        return None
    own = branch.plugin()
    return max(begun, key=lambda plugin: weight_likeness(products([own, plugin], base), 1.0, 1.0).cosine, default=None)


def _networks(item: ForgeItem) -> list[ForgeItem]:
    return [task.expert for task in item.tasks] if isinstance(item, Routed) else [item]
