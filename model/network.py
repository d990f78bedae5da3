"""One network out of a merged model: all of it, or the expert of one of its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem, FusedPlugin, Routed
from medforge.plugin import Plugin
from medforge.ranking import NamedClasses, no_such_task
from medforge.routed_task import RoutedTask


@dataclass(frozen=True, eq=False)
class Network:
    """Hold what one network adds to its base: a weight change [out, in] a site, float32, and the tasks it answers.

    ``plugin`` is there where the change is that of one plugin; ``left`` says in words what of the merged model is not
    in the network, line by line.
    """

    base: BaseModule
    change: Mapping[str, Tensor]
    plugin: Plugin | None
    tasks: tuple[NamedClasses, ...]
    left: tuple[str, ...] = ()

    @property
    def merged(self) -> dict[str, Tensor]:
        """The changed weights, by site; float32."""
        return {site: self.base.weight(site).float() + change for site, change in self.change.items()}


def choose_network(
    item: ForgeItem, base: BaseModule, tasks: Sequence[NamedClasses] = (), task: str | None = None
) -> Network:
    """Return the network of a merged model, or of one of its tasks by name.

    ``tasks`` are those that an item without tasks of its own was merged for, where they are known. Raises InvalidInput
    where there is no such task, where several experts answer and none is named, and for several networks that are no
    experts.
    """
    item.check(base)
    if isinstance(item, Routed):
        return _of_expert(choose_task(item, task), base)
    known = choose_tasks(tasks, task)
    change = item.weight_change(base)
    return Network(base, change, item.plugin if isinstance(item, FusedPlugin) else None, known)


def choose_tasks(tasks: Sequence[NamedClasses], name: str | None) -> tuple[NamedClasses, ...]:
    """Return the task of that name alone, or all without a name; raises InvalidInput where there is no such task."""
    if name is not None and name not in [one.name for one in tasks]:
        raise InvalidInput(no_such_task(name, [one.name for one in tasks]))
    return tuple(one for one in tasks if name in (None, one.name))


def choose_task(item: Routed, name: str | None) -> RoutedTask:
    """Return a task of a routed model by name, or its only one; raises InvalidInput where that is not one task."""
    names = [task.card.name for task in item.tasks]
    if name is None and len(names) > 1:
        raise InvalidInput(
            f"the merged model has an expert for each of its tasks, {', '.join(names)}; say which one with --task"
        )
    if name is not None and name not in names:
        raise InvalidInput(no_such_task(name, names))
    return item.tasks[0 if name is None else names.index(name)]


def _of_expert(task: RoutedTask, base: BaseModule) -> Network:
    expert = task.expert
    left = ["the router, which says whether an image belongs to this task at all"]
    if task.card.head:
        left.append(f"the discriminant, whose share in P(class) is {task.card.head:g} in the merged model")
    if task.card.temperature != 1:
        left.append(f"the temperature {task.card.temperature:g}, by which the merged model divides the logits")
    if task.sites:
        left.append(f"the plugins of {len(task.sites)} sites; the task's own expert is here")
    plugin = expert.plugin if isinstance(expert, FusedPlugin) else None
    return Network(base, expert.weight_change(base), plugin, (task.card,), tuple(left))
