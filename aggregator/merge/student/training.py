"""The training of a student: deterministic from a seed with any number of threads, and resumable."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from medforge.aggregator.logs import about
from medforge.aggregator.merge.student.lessons import Lesson, lesson_loss, turns
from medforge.aggregator.merge.student.recipe import PLATE, StudentRecipe
from medforge.aggregator.merge.student.saved_state import SavedState
from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.faults import reached
from medforge.seeds import generator

_log = logging.getLogger(__name__)

# steps between two records of the state, and lines of the log
_EVERY = 25

Changes = Mapping[str, Tensor]


class Student:
    """Hold a plugin in training: ΔW = start + BA at every site, with A [rank, in] and B [out, rank], float32."""

    def __init__(self, base: BaseModule, start: Changes, lessons: Sequence[Lesson], recipe: StudentRecipe, seed: int):
        self._base, self._lessons, self._recipe, self._seed = base, lessons, recipe, seed
        self._start = {site: change.to(base.device) for site, change in start.items()}
        self.step = 0
        self.factors: dict[str, Tensor] = {}
        for site in sorted(start):
            rows, columns = base.site_shape(site)
            random = generator(seed, "student", "start", site)
            down = (2 * torch.rand(recipe.rank, columns, generator=random) - 1) / columns**0.5
            self.factors[f"down/{site}"] = down.to(base.device)
            self.factors[f"up/{site}"] = torch.zeros(rows, recipe.rank, device=base.device)
        self._first = {name: torch.zeros_like(factor) for name, factor in self.factors.items()}
        self._second = {name: torch.zeros_like(factor) for name, factor in self.factors.items()}

    @cached_property
    def _turns(self) -> list[tuple[int, int]]:
        order = [lesson.arrived for lesson in self._lessons]
        return turns(order, self._recipe.steps * self._recipe.plates, self._seed)

    def changes(self, factors: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return the weight change [out, in] of every site."""
        now = self.factors if factors is None else factors
        return {site: start + now[f"up/{site}"] @ now[f"down/{site}"] for site, start in self._start.items()}

    def advance(self) -> float:
        """Take one step, and return the loss before it. Raises InvalidBranch where the loss is not finite."""
        base, recipe = self._base, self._recipe
        plates = self._turns[self.step * recipe.plates : (self.step + 1) * recipe.plates]
        found = base.in_chunks(partial(self._slopes, plates), PLATE * recipe.plates)
        loss = sum(one for one, _ in found) / recipe.plates
        if not torch.tensor(loss).isfinite():
            raise InvalidBranch("the student's training diverges; fold with a lower rate, or by another method")
        sums = {name: torch.stack([part[name] for _, part in found]).sum(dim=0) for name in self.factors}
        self._adam({name: total / recipe.plates for name, total in sums.items()})
        self.step += 1
        return loss

    def _slopes(self, plates: Sequence[tuple[int, int]], part: slice) -> tuple[float, dict[str, Tensor]]:
        """Return the sum of the losses of some plates, and its derivative by every factor."""
        total, slopes = 0.0, {name: torch.zeros_like(factor) for name, factor in self.factors.items()}
        for place, visit in plates[part.start // PLATE : part.stop // PLATE]:
            lesson = self._lessons[place]
            chosen = lesson.plate(visit, self._seed)
            images, wanted = lesson.mixtures.of(lesson.arrived.images(), chosen), lesson.embeddings[chosen]
            factors = {name: factor.detach().clone().requires_grad_() for name, factor in self.factors.items()}

            def loss_of(
                images: Tensor = images, wanted: Tensor = wanted, lesson: Lesson = lesson, now: Changes = factors
            ) -> Tensor:
                embeddings = self._base.embed(images, self.changes(now))
                wanted = wanted.to(embeddings.device)
                return lesson_loss(self._base, embeddings, wanted, lesson.arrived.prompts, self._recipe.features)

            loss = self._base.steadily(loss_of)
            for name, slope in zip(factors, torch.autograd.grad(loss, list(factors.values())), strict=True):
                slopes[name] += slope
            total += float(loss.detach())
        return total, slopes

    @torch.no_grad()
    def _adam(self, slopes: Mapping[str, Tensor]) -> None:
        """Take a step of Adam (Kingma & Ba 2015) along slopes whose norm is cut to the recipe's."""
        norm = float(torch.stack([slope.double().square().sum() for slope in slopes.values()]).sum().sqrt())
        cut, rate, count = (
            min(1.0, self._recipe.clip / max(norm, 1e-12)),
            self._recipe.rate_at(self.step),
            self.step + 1,
        )
        for name, factor in self.factors.items():
            slope = cut * slopes[name]
            self._first[name].mul_(0.9).add_(slope, alpha=0.1)
            self._second[name].mul_(0.999).addcmul_(slope, slope, value=0.001)
            size = (self._second[name] / (1 - 0.999**count)).sqrt_().add_(1e-8)
            factor.sub_(rate / (1 - 0.9**count) * self._first[name] / size)

    def state(self) -> dict[str, Tensor]:
        """Return all that later steps depend on; random choices are derived from the seed, so they are not in it."""
        parts = {"now": self.factors, "first": self._first, "second": self._second}
        return {f"{part}/{name}": tensor.cpu() for part, named in parts.items() for name, tensor in named.items()}

    def restore(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Go on from a state after ``step`` steps."""
        for part, named in (("now", self.factors), ("first", self._first), ("second", self._second)):
            for name, tensor in named.items():
                tensor.copy_(state[f"{part}/{name}"])
        self.step = step


def train(student: Student, recipe: StudentRecipe, directory: Path | None, key: str) -> dict[str, Tensor]:
    """Train a student to the end of its recipe, and return its weight change.

    Every 25 steps its state is written under ``key`` into ``directory`` (None: nowhere); a process that was killed
    goes on from there, and ends in the same bytes as an undisturbed one.
    """
    saved = SavedState(directory, key)
    found = saved.read()
    if found is not None:
        student.restore(*found)
        _log.info(
            "the student goes on from step %d of %d",
            student.step,
            recipe.steps,
            extra=about("student", step=student.step),
        )
    while student.step < recipe.steps:
        loss = student.advance()
        if student.step % _EVERY == 0 or student.step == recipe.steps:
            saved.write(student.step, student.state())
            reached("during student")
            _log.info(
                "student step %d of %d: loss %.4f", student.step, recipe.steps, loss,
                extra=about("student", step=student.step, steps=recipe.steps, loss=loss),
            )  # fmt: skip
    return student.changes()
