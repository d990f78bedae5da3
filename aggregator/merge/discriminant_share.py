"""How much the discriminant has to say beside the expert in P(class | task, image)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.prompt_form import normal_form
from medforge.routed_task import RoutedTask

MOST = 0.8
"""The most that the discriminant may have to say: what plugins have learned is never left out altogether."""

ASKED = 4
"""The branches, those with the first digests, on whose distilled images the share is chosen."""

_HALVINGS = 40


def likeliest_share(of_expert: Tensor, of_head: Tensor, least: float, most: float = MOST) -> float:
    """Return the share h in least … most under which (1 − h) · of_expert + h · of_head is likeliest.

    Both hold what each gives the true class of the same images, float64 [n], > 0. It is the maximum likelihood of a
    mixture's weight (Dempster, Laird & Rubin 1977); the likelihood is concave, so its slope is halved in on. In
    hundredths, `least` where `most` is less.
    """
    gain = of_head - of_expert

    def slope(share: float) -> float:
        return float((gain / (of_expert + share * gain)).sum())

    low, high = least, max(least, most)
    if slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    # a bound that is no hundredth is kept all the same
    return min(max(round((low + high) / 2, 2), least), max(least, most))


def discriminant_share(
    task: RoutedTask, members: Sequence[ArrivedBranch], base: BaseModule, cache: ProbabilityCache, least: float
) -> float:
    """Return the discriminant's share in a task that branches, sorted by digest, were merged into.

    It is chosen on distilled images of a few of them. Where a single branch is the task it is `least`: its plugin
    helped to make the only images that there are to choose on.
    """
    if len(members) == 1 or least >= MOST:
        return least
    found = base.side_by_side(lambda on: _of_true_class(task, on, base, cache), members[:ASKED])
    of_expert, of_head = (torch.cat(column) for column in zip(*found, strict=True))
    return likeliest_share(of_expert, of_head, least)


def _of_true_class(
    task: RoutedTask, on: ArrivedBranch, base: BaseModule, cache: ProbabilityCache
) -> tuple[Tensor, Tensor]:
    """Return what the expert alone and the discriminant alone give the true class of a branch's distilled images."""
    places = torch.tensor([task.places[normal_form(prompt)] for prompt in on.prompts])[on.labels()].unsqueeze(1)
    embeddings = cache.embeddings(on)
    of_expert = task.logits(base, embeddings, task.prompts, cache.asking(on)).softmax(dim=1)
    of_head = task.spread.class_log_probabilities(embeddings).exp()
    tiny = torch.finfo(torch.float32).tiny
    expert, head = (rows.gather(1, places).flatten().clamp_min(tiny) for rows in (of_expert, of_head))
    return expert, head
