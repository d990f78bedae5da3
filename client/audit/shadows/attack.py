"""Attack a branch by shadows of its plugin, its class statistics and its distilled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from medforge.class_statistics import ClassStatistics
from medforge.client.audit.membership import Attack
from medforge.client.audit.record import MostExposed, ShadowsFound, Target
from medforge.client.audit.shadows.budget import ShadowBudget, Stopwatch, make_within
from medforge.client.audit.shadows.likelihood_ratio import FEWEST, log_ratios, means
from medforge.client.audit.shadows.of_images import ShadowImages
from medforge.client.audit.shadows.of_statistics import Released, shadow_statistics
from medforge.client.audit.shadows.training import Shadow, ShadowTraining
from medforge.client.recipe import Recipe
from medforge.distilled import DistilledDataset
from medforge.plugin import Plugin
from medforge.progress import Progress

NAME = "shadow models (LiRA)"


@dataclass(frozen=True, eq=False)
class Parts:
    """Hold what a branch lets out, which is attacked."""

    plugin: Plugin
    distilled: DistilledDataset | None
    statistics: ClassStatistics | None


@dataclass(frozen=True, eq=False)
class ShadowOrder:
    """Ask for shadows that are made as the branch was.

    By its recipe, from its `start` if it had one; `released` says what of a half's statistics would be sent.
    Shadows are kept in `directory` for the next time. Distilled images are attacked only where `distils` says so.
    """

    recipe: Recipe
    released: Released
    budget: ShadowBudget
    directory: Path | None = None
    start: Plugin | None = None
    distils: bool = True


@dataclass(frozen=True, eq=False)
class ShadowEvidence:
    """Hold the attacks by shadows and what was found; `attacks` is empty where too few shadows were made.

    `confidences` [k, n] are those of shadow plugins, a mean over queries, `inside` bool [k, n] says which images each
    was trained on, and `shown` [n] is what the branch's own plugin shows.
    """

    attacks: list[Attack]
    found: ShadowsFound
    confidences: Tensor
    inside: Tensor
    shown: Tensor


def attack_by_shadows(
    training: ShadowTraining,
    order: ShadowOrder,
    parts: Parts,
    names: Sequence[str],
    progress_file: Path | None = None,
) -> ShadowEvidence:
    """Make shadows within the budget, of the plugin first, and attack by them; `names` are what the images are called.

    Raises InvalidInput where the images cannot be halved.
    """
    budget = order.budget
    watch = Stopwatch(budget)
    shadows, missing = train_shadows(training, budget, watch, progress_file)
    inside = training.halves(sorted(shadows))
    said = [missing] if missing else []
    if not enough(inside):
        nothing = torch.zeros(0)
        found = ShadowsFound(asked=budget.shadows, trained=len(shadows), stopped=True, said=tuple(said))
        return ShadowEvidence([], found, nothing, inside, nothing)
    confidences = torch.stack([shadows[number].confidences for number in sorted(shadows)])
    shown = training.confidences(parts.plugin)
    ratios = log_ratios(shown, confidences, inside)
    attacks = [as_attack("plugin", ratios, training, len(shadows))]
    if parts.statistics is not None:
        attack, why = _on_statistics(training, parts.statistics, order.released, sorted(shadows))
        attacks, said = attacks + attack, said + why
    attack, why = [], []
    if order.distils and parts.distilled is not None:
        attack, why = _on_images(training, budget, parts.distilled, shadows, watch, progress_file)
    found = ShadowsFound(
        asked=budget.shadows,
        trained=len(shadows),
        exposed=most_exposed(ratios, shown, confidences, inside, training.gallery.members, names),
        stopped=bool(missing or why),
        said=tuple(said + why),
    )
    return ShadowEvidence(attacks + attack, found, confidences.mean(dim=2), inside, shown.mean(dim=1))


def train_shadows(
    training: ShadowTraining, budget: ShadowBudget, watch: Stopwatch, progress_file: Path | None = None
) -> tuple[dict[int, Shadow], str | None]:
    """Train the shadows that are not kept, as many as fit; return all by number, and why some are missing."""
    wanted = range(budget.shadows)
    kept = {number: shadow for number in wanted if (shadow := training.kept(number)) is not None}
    total, done = (sum(map(training.steps, numbers)) for numbers in (wanted, kept))
    with Progress("training shadows", total, file=progress_file, start=done) as bar:
        why = make_within(budget, watch, kept, lambda number, go_on: training.train(number, bar, go_on), "plugins")
    return kept, why


def enough(inside: Tensor) -> bool:
    """Say whether every image is inside and outside of enough shadows; bool [k, n]."""
    return len(inside) > 0 and min(int(inside.sum(dim=0).min()), int((~inside).sum(dim=0).min())) >= FEWEST


def most_exposed(
    ratios: Tensor, shown: Tensor, confidences: Tensor, inside: Tensor, members: int, names: Sequence[str]
) -> MostExposed:
    """Return the training image (of the first `members`) with the highest ratio [n]."""
    at, others = int(ratios[:members].argmax()), float(ratios[members:].max())

    def probability(scaled: Tensor) -> float:
        return float(scaled[at].mean().sigmoid())

    return MostExposed(
        position=at,
        name=names[at],
        ratio=float(ratios[at]),
        probability=probability(shown),
        inside=probability(means(confidences, inside)),
        outside=probability(means(confidences, ~inside)),
        others=others,
        above=int((ratios[:members] > others).sum()),
    )


def as_attack(
    target: Target, ratios: Tensor, training: ShadowTraining, shadows: int, kept: Tensor | None = None
) -> Attack:
    """Return ratios [n] as an attack; of the images that are `kept` (bool), where not all can be asked for."""
    everything = torch.ones(len(ratios), dtype=torch.bool) if kept is None else kept
    member = torch.arange(len(ratios)) < training.gallery.members
    own, others = ratios[everything & member], ratios[everything & ~member]
    return Attack(NAME, target, own.numpy(), others.numpy(), training.gallery.groups[everything].numpy(), shadows)


def _on_statistics(
    training: ShadowTraining, statistics: ClassStatistics, released: Released, numbers: Sequence[int]
) -> tuple[list[Attack], list[str]]:
    found = shadow_statistics(training, statistics, released, numbers)
    if found is None:
        return [], [
            "the class statistics were not attacked by shadows: of half the images some class, or all of them, would "
            "send none"
        ]
    return [as_attack("statistics", found.ratios, training, len(numbers), found.kept)], []


def _on_images(
    training: ShadowTraining,
    budget: ShadowBudget,
    distilled: DistilledDataset,
    shadows: dict[int, Shadow],
    watch: Stopwatch,
    progress_file: Path | None,
) -> tuple[list[Attack], list[str]]:
    images = ShadowImages(training)
    made = {number: found for number in shadows if (found := images.kept(number)) is not None}
    wanted = replace(budget, shadows=len(shadows))
    with Progress("distilling shadows", len(shadows), file=progress_file, start=len(made)) as bar:
        why = make_within(
            wanted,
            watch.for_other_work(),
            made,
            lambda number, go_on: images.distil(number, shadows[number].plugin, bar, go_on),
            "distillations",
        )
    said, numbers = [why] if why else [], sorted(made)
    inside = training.halves(numbers)
    if not enough(inside):
        return [], said
    ratios = log_ratios(images.nearness(distilled), torch.stack([images.nearness(made[at]) for at in numbers]), inside)
    return [as_attack("distilled", ratios, training, len(numbers))], said
