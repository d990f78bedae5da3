"""Merged models of the very small CLIP, and their directories."""

from pathlib import Path

import torch

from medforge import __version__
from medforge.base_module import BaseModule
from medforge.class_statistics import ClassStatistics
from medforge.declared_task import TaskClass
from medforge.forge_item import ForgeItem, FusedPlugin, Routed, WeightChange
from medforge.manifest import LEVELS
from medforge.model_card import CardMember, CardTask, ModelCard, Recipe
from medforge.model_directory import save_model
from medforge.plugin import PluginKind
from medforge.routed_task import Expert, RoutedTask
from medforge.task_card import TaskCard, TaskMember
from medforge.task_spread import TaskSpread
from tests.making import make_plugin

LUNG, COLON = ("benign lung", "lung cancer"), ("benign colon", "colon cancer", "colon polyp")
CALIBRATED = tuple(float(step) for step in range(2, 2 + len(LEVELS)))


def classes(prompts: tuple[str, ...]) -> tuple[TaskClass, ...]:
    return tuple(TaskClass(key=prompt.replace(" ", "-"), prompt=prompt) for prompt in prompts)


def spread(base: BaseModule, prompts: tuple[str, ...], distances: tuple[float, ...] | None = None) -> TaskSpread:
    random, size = torch.Generator().manual_seed(len(prompts)), base.image_size
    labels = torch.arange(len(prompts)).repeat_interleave(10)
    seen = base.embed_all(torch.randn(len(labels), 3, size, size, generator=random))
    measured = TaskSpread.of(ClassStatistics.of(seen, labels, len(prompts)), 0.5)
    return TaskSpread(measured.means.float(), measured.weights, measured.covariance.float(), distances)


def routed_task(
    base: BaseModule, name: str, prompts: tuple[str, ...], expert: Expert, distances: tuple[float, ...] | None = None
) -> RoutedTask:
    card = TaskCard(
        name=name,
        classes=classes(prompts),
        members=(TaskMember(branch=f"{len(prompts):064x}", weight=3),),
        temperature=2.0,
        head=0.25,
        distances=distances,
    )
    return RoutedTask(card, spread(base, prompts, distances), expert)


def routed(base: BaseModule, kinds: tuple[PluginKind, PluginKind] = ("lora", "dora")) -> Routed:
    """Three tasks: two whose experts are plugins, one whose expert is a dense change."""
    colon, lung = (FusedPlugin(make_plugin(base, seed, kind=kind)) for seed, kind in enumerate(kinds))
    dense = WeightChange.of(base, make_plugin(base, 2).deltas(base))
    return Routed(
        (
            routed_task(base, "brain", ("no tumour", "glioma", "meningioma", "adenoma"), dense, CALIBRATED),
            routed_task(base, "colon", COLON, colon, CALIBRATED),
            routed_task(base, "lung", LUNG, lung),
        )
    )


def card_of(base: BaseModule, item: ForgeItem, tasks: dict[str, tuple[str, ...]]) -> ModelCard:
    named = [(one.card.name, one.card.classes) for one in item.tasks] if isinstance(item, Routed) else []
    named += [(name, classes(prompts)) for name, prompts in tasks.items()]
    return ModelCard(
        medforge=__version__,
        kind=item.kind,
        item=item.digest,
        base=base.facts,
        tasks=tuple(CardTask(name=name, classes=found) for name, found in named),
        members=(CardMember(branch="0" * 64, task=named[0][0]),),
        recipe=Recipe(method={"method": "ties"}, seed=0),
    )


def checkout(directory: Path, base: BaseModule, item: ForgeItem, **tasks: tuple[str, ...]) -> Path:
    """A directory as `medforge checkout` writes it."""
    save_model(directory, card_of(base, item, tasks), item)
    return directory
