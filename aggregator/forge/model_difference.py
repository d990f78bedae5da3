"""What differs between two forge items: their networks' weights, and the classes of their tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from medforge.base_module import BaseModule
from medforge.forge_item import ForgeItem, FusedPlugin, Mixture, Routed
from medforge.weight_difference import Distance, distances, in_all

WHOLE = "all tasks"
"""What the network of an item is called that has only one."""


@dataclass(frozen=True)
class NetworkDifference:
    """Say whether a network came, left, changed or stayed, and of one that changed how far at every site."""

    state: Literal["came", "left", "changed", "unchanged"]
    sites: Mapping[str, Distance] = field(default_factory=dict)

    @property
    def relative(self) -> float:
        """How far all weights together moved, relative to their norm before."""
        return in_all(self.sites).relative


def weight_differences(
    base: BaseModule, before: ForgeItem | None, after: ForgeItem | None
) -> dict[str, NetworkDifference]:
    """Return how the networks of two items differ, by name: a routed item's by task, a mixture's by branch.

    None is an empty main branch. Raises BaseMismatch or InvalidBranch for an item that does not fit the base.
    """
    for item in (before, after):
        if item is not None:
            item.check(base)
    old, new = _networks(before), _networks(after)
    return {name: _difference(base, old.get(name), new.get(name)) for name in sorted({*old, *new})}


def class_differences(before: ForgeItem | None, after: ForgeItem | None) -> dict[str, dict[str, list[str]]]:
    """Return, for each task that both have with other classes, the keys that came, left, or ask with another prompt.

    Only routed items say which classes their tasks have; of others nothing is returned.
    """
    old, new = _classes(before), _classes(after)
    found = {}
    for task in sorted(old.keys() & new.keys()):
        was, now = old[task], new[task]
        parts = {
            "came": [key for key in now if key not in was],
            "left": [key for key in was if key not in now],
            "reworded": [key for key in now if key in was and now[key] != was[key]],
        }
        if any(parts.values()):
            found[task] = parts
    return found


def _difference(base: BaseModule, old: ForgeItem | None, new: ForgeItem | None) -> NetworkDifference:
    if old is None or new is None:
        return NetworkDifference("came" if old is None else "left")
    if old.digest == new.digest:
        return NetworkDifference("unchanged")
    return NetworkDifference("changed", distances(base, old.weight_change(base), new.weight_change(base)))


def _networks(item: ForgeItem | None) -> dict[str, ForgeItem]:
    if item is None:
        return {}
    if isinstance(item, Routed):
        experts: dict[str, ForgeItem] = {task.card.name: task.expert for task in item.tasks}
        sites = {f"{task.card.name}, site {s.card.branch[:8]}": s.expert for task in item.tasks for s in task.sites}
        return experts | sites
    if isinstance(item, Mixture) and (item.level != "layer" or item.gate is not None):
        return {f"branch {member.branch[:8]}": FusedPlugin(member.plugin) for member in item.members}
    return {WHOLE: item}


def _classes(item: ForgeItem | None) -> dict[str, dict[str, str]]:
    if not isinstance(item, Routed):
        return {}
    return {task.card.name: {one.key: one.prompt for one in task.card.classes} for task in item.tasks}
