"""The forge item: what the main branch adds to the base module; every kind that can be read."""

from medforge.item import ITEM_FILE, ForgeItem
from medforge.mixture import GATE_FILE, Level, Member, Mixture
from medforge.routed import Routed
from medforge.single_network import CHANGE_FILE, FusedPlugin, WeightChange

__all__ = [
    "CHANGE_FILE",
    "GATE_FILE",
    "ITEM_FILE",
    "ForgeItem",
    "FusedPlugin",
    "Level",
    "Member",
    "Mixture",
    "Routed",
    "WeightChange",
]
