"""What `medforge evaluate` does: find the plugin or forge item, the base and the split, and measure the answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from medforge.assessment.assess import assess
from medforge.assessment.result import Assessment
from medforge.base import BaseModule, load_base
from medforge.client.data.balance import majority_share, out_of_balance
from medforge.client.data.catalogue import check_source, open_task
from medforge.client.data.class_map import read_map
from medforge.client.data.declared import declare
from medforge.client.data.inspection.before_work import check_images
from medforge.client.data.prompts import check_prompts, check_told_apart
from medforge.client.data.split_names import SplitName, split_named
from medforge.client.data.task import Task
from medforge.client.evaluate import Answer, answers_on, item_logits, of_findings, plugin_logits
from medforge.client.model_task import ModelTask, card_of, model_task, tasks_of
from medforge.client.settings import Settings
from medforge.client.workspace import Workspace
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem
from medforge.metrics import score
from medforge.plugin import Plugin
from medforge.progress import Progress, remark, waiting

DEFAULT_BASE = "medforge-tiny"


@dataclass(frozen=True)
class ScoreRequest:
    """Hold what a person asks to be scored; None is taken from the workspace, or has a default.

    Either `workspace` or `item` is given. `task` names a task of the merged model. `class_map` is a file that
    gives each folder a class of the model's task, or of the workspace's declared one.
    """

    workspace: Path | None
    item: Path | None
    source: str | None
    base: str | None
    split: str
    seed: int | None
    device: str
    dtype: str | None
    task: str | None = None
    class_map: Path | None = None

    def check(self) -> None:
        """Raise InvalidInput where it cannot be known what is to be scored."""
        if (self.workspace is None) == (self.item is None):
            raise InvalidInput(
                "nothing is named to score; give either --workspace DIR (its plugin) or --item DIR (a forge item)"
            )
        if self.task is not None and self.item is None:
            raise InvalidInput("--task names a task of a merged model; leave it out, or give --item DIR")


@dataclass(frozen=True)
class Scored:
    """Hold what was scored and what came out; `images` counts images, where an assessment counts slides or images.

    `uneven` is the share of the largest class where classes are out of balance, `leaks` how many pairs of one picture
    are in two splits or classes.
    """

    task: str
    split: SplitName
    made_by: str
    scored_by: str
    images: int
    accuracy: float
    auc: float | None
    loss: float
    assessment: Assessment
    uneven: float | None = None
    leaks: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return everything as one document."""
        return {
            "task": self.task,
            "split": self.split,
            "made_by": self.made_by,
            "scored_by": self.scored_by,
            "images": self.images,
            "acc": self.accuracy,
            "auc": self.auc,
            "loss": self.loss,
            "balanced": balanced.value if (balanced := self.assessment.balanced_accuracy) else None,
            "majority": self.uneven,
            "leaks": self.leaks,
            "assessment": self.assessment.model_dump(mode="json"),
        }


def score_on_split(request: ScoreRequest) -> Scored:
    """Measure what a workspace's plugin or a forge item answers. Raises InvalidInput for what is missing or unknown."""
    request.check()
    split = split_named(request.split)
    settings = Workspace(request.workspace).settings if request.workspace else None
    if request.class_map is not None and settings is not None and settings.declared is None:
        raise InvalidInput(
            "--map says which classes of a declared task the folders are, and the workspace's task is not declared; "
            "leave --map out"
        )
    place = request.source or (settings.source if settings else None)
    if place is None:
        raise InvalidInput("no images are named to score it on; say which: medforge evaluate NAME:PATH --item DIR")
    check_source(place, split)
    table = read_map(request.class_map) if request.class_map else None
    scored: Plugin | ForgeItem = ForgeItem.load(request.item) if request.item else _plugin_of(request.workspace)
    card = card_of(request.item) if request.item else None
    spec = request.base or (settings.base if settings else card.base.loadable_spec() if card else DEFAULT_BASE)
    base, task, leaks = _open(request, settings, place, split, spec, table)
    tasks = tasks_of(scored, card) if isinstance(scored, ForgeItem) and not task.multi_label else ()
    if table is not None and settings is None and not tasks:
        raise InvalidInput(
            "--map says which class of the model's task each folder is, and this model names no classes of a task with "
            "one class an image; leave --map out"
        )
    known = model_task(tasks, task, request.task, table) if tasks else None
    name = settings.task if settings else None
    return replace(_measure(scored, base, task, split, known, name), leaks=leaks)


def _open(
    request: ScoreRequest,
    settings: Settings | None,
    place: str,
    split: SplitName,
    spec: str,
    table: Mapping[str, str] | None,
) -> tuple[BaseModule, Task, int]:
    """Load the base module and list the images, under the workspace's declaration where it has one.

    Returns also how many pairs of one picture are in two splits or classes.
    """
    with waiting("loading the base module"):
        base = load_base(spec, request.device, request.dtype or (settings.dtype if settings else "fp32"))
    seed = request.seed if request.seed is not None else settings.seed if settings else 0
    with waiting("listing the images"):
        known = settings is None or settings.inspected
        task = open_task(place, base.preprocessing, seed, scoring=split, prompted=False, look_alikes=known)
    leaks = check_images(task, place, remark).leaks if known else 0
    if settings is not None and settings.declared is not None:
        task = declare(task, settings.declared, settings.class_map if table is None else table)
    return base, task, leaks


def _measure(
    scored: Plugin | ForgeItem,
    base: BaseModule,
    task: Task,
    split: SplitName,
    known: ModelTask | None,
    name: str | None,
) -> Scored:
    chosen = task.splits[split]
    if known is None:
        check_prompts(task)
        check_told_apart(task, base)
    prompts = known.prompts if known else task.texts
    answer = _answer(scored, base, task, prompts)
    outputs = answers_on(answer, base, chosen, Progress(f"scoring the {split} split", len(chosen)))
    labels: Tensor = known.labels(chosen.labels) if known else chosen.labels
    names = known.keys if known else task.classes or task.own_names
    slides = task.scoring_groups(chosen)
    metrics = score(outputs, labels, slides)
    return Scored(
        task=name or (known.name if known else task.name),
        split=split,
        made_by=task.split,
        scored_by=task.score_by,
        images=len(chosen),
        accuracy=metrics.acc,
        auc=None if math.isnan(metrics.auc) else metrics.auc,
        loss=metrics.loss,
        assessment=assess(outputs, labels, names, slides, chosen.groups),
        uneven=_uneven(chosen.labels),
    )


def _uneven(labels: Tensor) -> float | None:
    """Return the share of the largest class where classes are out of balance."""
    counts = [] if labels.ndim > 1 else labels.bincount().tolist()
    return majority_share(counts) if out_of_balance(counts) else None


def _answer(scored: Plugin | ForgeItem, base: BaseModule, task: Task, prompts: Sequence[str]) -> Answer:
    if isinstance(scored, Plugin):
        logits = plugin_logits(scored, base, prompts)
    else:
        logits = item_logits(scored, base, prompts, task.multi_label)
    return of_findings(logits) if task.multi_label else logits


def _plugin_of(workspace: Path | None) -> Plugin:
    assert workspace is not None
    place = Workspace(workspace)
    if place.trained is None:
        raise InvalidInput(f"the workspace {workspace} has no plugin yet; run: medforge train --workspace {workspace}")
    return Plugin.load(place.plugin)
