"""What a student learns from: mixtures of every branch's images, and what the branch's own plugin says of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.student.mixtures import Mixtures
from medforge.aggregator.merge.student.recipe import PLATE, StudentRecipe
from medforge.base_module import BaseModule
from medforge.determinism import on_grid
from medforge.seeds import generator


@dataclass(frozen=True, eq=False)
class Lesson:
    """Hold a branch's mixtures beside its teacher's embeddings of them: unnormalised, float32 [m, d] on the CPU."""

    arrived: ArrivedBranch
    mixtures: Mixtures
    embeddings: Tensor

    def plate(self, visit: int, seed: int) -> Tensor:
        """Return the places of the 16 mixtures of one visit; each is seen once before any is seen again."""
        plates = len(self.mixtures) // PLATE
        order = torch.randperm(len(self.mixtures), generator=generator(seed, "student", "order", visit // plates))
        start = PLATE * (visit % plates)
        return order[start : start + PLATE]


def prepare(
    base: BaseModule, arrived: ArrivedBranch, recipe: StudentRecipe, seed: int, cache: ProbabilityCache
) -> Lesson:
    """Draw a branch's mixtures, and ask its plugin about them.

    Neither depends on other branches, so what a teacher said is kept in the cache for every later student.
    """
    labels = arrived.labels()
    random = generator(seed, "student", "mixtures", arrived.digest)
    mixtures = Mixtures.draw(len(labels), recipe.mixtures, base.image_size, random)

    def ask() -> Tensor:
        images, plugin = arrived.images(), arrived.plugin()
        change = base.steadily(lambda: plugin.deltas(base))

        def of_chunk(part: slice) -> Tensor:
            mixed = mixtures.of(images, torch.arange(len(mixtures))[part])
            with torch.no_grad():
                return base.steadily(lambda: base.embed(mixed, change)).float().cpu()

        return on_grid(torch.cat(base.in_chunks(of_chunk, len(mixtures)))).float()

    kind = f"embeddings of {recipe.mixtures} mixtures, seed {seed}, branch {arrived.digest}"
    return Lesson(arrived, mixtures, cache.entry(kind, arrived.plugin_digest, arrived.distilled_digest, ask))


def turns(order: Sequence[ArrivedBranch], count: int, seed: int) -> list[tuple[int, int]]:
    """Return whose turn each of ``count`` plates is, as the place of a branch and how often it has been visited before.

    Every task comes once a round, in an order drawn for the round; the branches of one task take turns.
    """
    tasks: dict[str, list[int]] = {}
    for place, arrived in enumerate(order):
        tasks.setdefault(arrived.task, []).append(place)
    groups = [tasks[task] for task in sorted(tasks)]
    found: list[tuple[int, int]] = []
    number = 0
    while len(found) < count:
        for group in torch.randperm(len(groups), generator=generator(seed, "student", "turns", number)).tolist():
            members = groups[group]
            found.append((members[number % len(members)], number // len(members)))
        number += 1
    return found[:count]


def lesson_loss(
    base: BaseModule, embeddings: Tensor, wanted: Tensor, prompts: Sequence[str], features: float
) -> Tensor:
    """Return how far a student is from its teacher: KL of class probabilities + features · (1 − cosine), a mean.

    ``embeddings`` and ``wanted`` are the student's and the teacher's [n, d]; soft labels as Hinton et al. (2015) have
    them, at the logit scale that a prediction is made with.
    """
    with torch.no_grad():
        taught = base.logits(wanted, prompts).log_softmax(dim=1)
    said = base.logits(embeddings, prompts).log_softmax(dim=1)
    apart = (taught.exp() * (taught - said)).sum(dim=1)
    return (apart + features * (1 - F.cosine_similarity(embeddings, wanted, dim=1))).mean()
