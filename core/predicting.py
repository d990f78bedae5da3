"""Ask any forge item about images: which task, which class, and who answered."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.encoder import Encoder
from medforge.errors import InvalidInput
from medforge.item import ForgeItem
from medforge.mixture import Mixture
from medforge.prediction import Prediction
from medforge.ranking import NamedClasses, no_such_task, rank_classes
from medforge.routed import Routed
from medforge.task_spread import FURTHEST


def predict(
    item: ForgeItem,
    base: BaseModule,
    images: Tensor,
    tasks: Sequence[NamedClasses],
    members: Sequence[str],
    *,
    top: int = 1,
    only: str | None = None,
    furthest: float = FURTHEST,
    encoder: Encoder | None = None,
) -> list[Prediction]:
    """Return the ``top`` likeliest classes of each normalised image, among ``tasks`` or one of them.

    A routed item knows its own tasks. Any other is asked for all their prompts at once: P(task | image) is then the sum
    over the task's classes, and how far an image lies from them is not known. ``members`` are the branches (by digest)
    that it is made of; an ``encoder`` embeds the images, and keeps what is merged.

    Raises InvalidInput for a task that there is not.
    """
    if isinstance(item, Routed):
        return item.predict(base, images, top=top, only=only, furthest=furthest, encoder=encoder)
    chosen = [task for task in tasks if only in (None, task.name)]
    if not chosen:
        if only is None:
            raise InvalidInput("the model does not say which tasks it answers; check it out again")
        raise InvalidInput(no_such_task(only, [task.name for task in tasks]))
    prompts = [one.prompt for task in chosen for one in task.classes]
    chances = _logits(item, base, images, prompts, encoder).detach().cpu().double().softmax(dim=1)
    parts = chances.split([len(task.classes) for task in chosen], dim=1)
    of_task = torch.stack([part.sum(dim=1) for part in parts], dim=1)
    of_class = [part / part.sum(dim=1, keepdim=True).clamp_min(1e-300) for part in parts]
    ranked = rank_classes(chosen, of_task, of_class, top)
    answered = _answered_by(item, base, images, tuple(members))
    return [
        Prediction(ranking=one, distance=None, percentile=None, none_of_these=False, answered_by=who)
        for one, who in zip(ranked, answered, strict=True)
    ]


def _logits(
    item: ForgeItem, base: BaseModule, images: Tensor, prompts: Sequence[str], encoder: Encoder | None
) -> Tensor:
    if encoder is None or (isinstance(item, Mixture) and not item.folds):
        return item.logits(base, images, prompts)
    embeddings = encoder.embed_each(images, [item], torch.zeros(len(images), dtype=torch.int64))
    return base.logits(embeddings.to(base.device), prompts)


def _answered_by(item: ForgeItem, base: BaseModule, images: Tensor, members: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return who answers each image: of a gated mixture the chosen member, else all."""
    if isinstance(item, Mixture) and item.gate is not None:
        chosen = item.gate.choose(base.embed_all(images)).tolist()
        return [(item.members[index].branch,) for index in chosen]
    return [members] * len(images)
