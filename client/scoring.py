"""What `medforge evaluate` does: find the plugin or forge item, the base and the split, and score."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

from medforge.base import load_base
from medforge.client.data.catalogue import check_source, open_task
from medforge.client.data.declared import declare
from medforge.client.evaluate import SplitName, score_item, score_plugin
from medforge.client.settings import Settings
from medforge.client.workspace import Workspace
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem
from medforge.plugin import Plugin
from medforge.progress import Progress, waiting


def score_on_split(
    workspace: Path | None,
    item: Path | None,
    source: str | None,
    base: str | None,
    split: str,
    seed: int | None,
    device: str,
    dtype: str | None,
) -> dict[str, Any]:
    """Return {task, split, made_by, scored_by, images, acc, auc, loss} of a workspace's plugin or of a forge item.

    What is not given is taken from the workspace. Raises InvalidInput where something is missing or unknown.
    """
    if (workspace is None) == (item is None):
        raise InvalidInput(
            "nothing is named to score; give either --workspace DIR (its plugin) or --item DIR (a forge item)"
        )
    if split not in get_args(SplitName):
        raise InvalidInput(f"there is no split {split!r}; choose one of {', '.join(get_args(SplitName))}")
    settings = Workspace(workspace).settings if workspace else None
    place = source or (settings.source if settings else None)
    if place is None:
        raise InvalidInput("no images are named to score it on; say which: medforge evaluate NAME:PATH --item DIR")
    scored = ForgeItem.load(item) if item else _plugin_of(workspace)
    check_source(place)
    with waiting("loading the base module"):
        module = load_base(base or (settings.base if settings else "medforge-tiny"), device, dtype or _dtype(settings))
    with waiting("listing the images"):
        task = open_task(place, module.image_size, seed if seed is not None else (settings.seed if settings else 0))
    if settings is not None and settings.declared is not None:
        task = declare(task, settings.declared, settings.class_map)
    name: SplitName = split  # type: ignore[assignment]  # checked above
    progress = Progress(f"scoring the {split} split", len(task.splits[name]))
    metrics = (
        score_plugin(scored, module, task, name, progress)
        if isinstance(scored, Plugin)
        else score_item(scored, module, task, name, progress)
    )
    return {
        "task": (settings and settings.task) or task.name,
        "split": split,
        "made_by": task.split,
        "scored_by": task.score_by,
        "images": len(task.splits[split]),
        "acc": metrics.acc,
        "auc": None if math.isnan(metrics.auc) else metrics.auc,
        "loss": metrics.loss,
    }


def _dtype(settings: Settings | None) -> str:
    return settings.dtype if settings else "fp32"


def _plugin_of(workspace: Path | None) -> Plugin:
    assert workspace is not None
    place = Workspace(workspace)
    if place.trained is None:
        raise InvalidInput(f"the workspace {workspace} has no plugin yet; run: medforge train --workspace {workspace}")
    return Plugin.load(place.plugin)
