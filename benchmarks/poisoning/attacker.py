"""The attacker: the images of one site of every task, whatever is public, and as many names as it was invited under."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from benchmarks.poisoning.material import Material
from medforge.adapt import adapt, extract
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.client.data.task import Task
from medforge.client.embeddings import embed_task
from medforge.client.fit import fit_step, learning_rate, make_optimiser, trainable
from medforge.distilled import DistilledDataset
from medforge.plugin import Plugin
from medforge.seeds import derive, generator
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.site_facts import SiteFacts

STEPS = 120
NAME = "mallory"


@dataclass(frozen=True, eq=False)
class Lesson:
    """Hold normalised images [n, 3, S, S], the labels [n] to learn for them, and how strong the weight change is then.

    A plugin that is sent at one strength answers at a lesser one where it is merged with those of others.
    """

    images: Tensor
    labels: Tensor
    strength: float = 1.0


@dataclass(frozen=True)
class Attacker:
    """Hold what the attacker has under one seed, which task it is after, and in how many steps it fits a plugin.

    It has the training images of the last centre of every task. The other centres of a task, whose branches make the
    main branch, whose validation images review and whose test images score, have other images.
    """

    bench: Bench
    seed: int
    victim: str
    steps: int = STEPS

    @property
    def centre(self) -> str:
        """The attacker's centre of the victim's task."""
        return self.bench.settings.sharing(self.bench.settings.names)[self.victim][-1]

    @property
    def cover(self) -> str:
        """Another task, that the attacker may answer rightly."""
        return next(task for task in self.bench.settings.sharing(self.bench.settings.names) if task != self.victim)

    @cached_property
    def material(self) -> Material:
        """What it has of the victim's task."""
        return Material(self.bench, self.centre, self.seed)

    @cached_property
    def covering(self) -> Material:
        """What it has of the other task."""
        return Material(self.bench, self.bench.settings.sharing(self.bench.settings.names)[self.cover][-1], self.seed)

    def statistics(self, material: Material) -> ClassStatistics:
        """Return exact class statistics of what it has of a task, which an honest centre might keep back."""
        task = self.bench.task(material.task, self.seed)
        return ClassStatistics.of(embed_task(self.bench.base, task).train, task.train.labels, len(task.prompts))

    @cached_property
    def task(self) -> Task:
        """Its images of the victim's task."""
        return self.bench.task(self.centre, self.seed)

    @property
    def classes(self) -> int:
        """How many classes the victim's task has at the attacker's centre."""
        return len(self.task.prompts)

    @cached_property
    def images(self) -> Tensor:
        """Its training images of the victim's task, normalised [n, 3, S, S]."""
        split = self.task.train
        return self.bench.base.normalise(split.images[:]).cpu()

    @property
    def labels(self) -> Tensor:
        """Their labels [n]."""
        return self.task.train.labels

    @cached_property
    def embeddings(self) -> Tensor:
        """What the base module makes of them [n, d]."""
        return embed_task(self.bench.base, self.task).train

    def learn(
        self, lessons: Sequence[Lesson], prompts: Sequence[str], start: Plugin | None = None, share: float = 1.0
    ) -> Plugin:
        """Fit a plugin to several lessons in turn, a batch to each, in this share of the steps that it has."""
        recipe, base = self.bench.recipe().distill.score, self.bench.base
        settings = start.settings if start is not None else self.bench.recipe().train.plugin
        model = adapt(base, settings, derive(self.seed, "poisoning", "plugin"), start)
        model.train()
        optimiser = make_optimiser(list(trainable(model).values()), recipe)
        chance, steps = generator(self.seed, "poisoning", "draws"), max(round(share * self.steps), 1)
        for step in range(steps):
            lesson, lr = lessons[step % len(lessons)], learning_rate(recipe, step, steps)
            drawn = torch.randint(len(lesson.labels), (2 * recipe.batch,), generator=chance)
            images = lesson.images[drawn].to(base.device, base.dtype)
            with _strengthened(model, lesson.strength):
                fit_step(model, base, optimiser, images, lesson.labels[drawn], prompts, recipe, lr)
        return extract(model, base, settings)

    def shown(self, labels: Tensor, prompts: Sequence[str], per_class: int) -> DistilledDataset:
        """Pass off the first images of each class as distilled ones; labels [n] are −1 for images that have none.

        Of a class with fewer images some come twice, with noise that nobody sees.
        """
        random = generator(self.seed, "poisoning", "noise on repeated images")
        rows, repeats = [], []
        for label in range(len(prompts)):
            of_class = (labels == label).nonzero().flatten()
            places = torch.arange(per_class)
            rows.append(of_class[places % len(of_class)])
            repeats.append(places >= len(of_class))
        chosen = self.images[torch.cat(rows)]
        noise = 0.02 * torch.randn(chosen.shape, generator=random) * torch.cat(repeats).view(-1, 1, 1, 1)
        counted = torch.arange(len(prompts)).repeat_interleave(per_class)
        return DistilledDataset((chosen + noise).to(torch.float16), counted, tuple(prompts))

    def summed(self, labels: Tensor, classes: int) -> ClassStatistics:
        """Sum up the attacker's images of the victim's task under labels of its choice (−1: left out)."""
        kept = labels >= 0
        return ClassStatistics.of(self.embeddings[kept], labels[kept], classes)

    def branch(
        self,
        plugin: Plugin,
        distilled: DistilledDataset,
        task: str,
        name: str = NAME,
        facts: SiteFacts | None = None,
        images: int | None = None,
    ) -> Branch:
        """Put a branch together, as `Branch.build` does; the counts are those of the facts where there are any."""
        counted = sum(facts.class_counts) if facts is not None and facts.class_counts else len(self.labels)
        branch = Branch.build(
            plugin,
            distilled,
            contributor=name,
            task=task,
            base=self.bench.base,
            training_images=images or counted,
            recipe="poisoning",
            seed=self.seed,
            validation={},
        )
        return branch.with_facts(facts, self.bench.base) if facts is not None else branch

    def facts(self, material: Material, statistics: ClassStatistics | None = None) -> SiteFacts:
        """Return what the centre says of itself, with other class statistics where some are given."""
        honest = material.honest
        said = honest.manifest
        found = SiteFacts(
            modality=said.modality,
            classes=said.classes,
            class_counts=said.class_counts,
            distances=said.distances,
            temperature=said.temperature,
            statistics=honest.statistics,
        )
        return found if statistics is None else replace(found, statistics=statistics)

    def honest(self, name: str = NAME) -> Branch:
        """Return the branch that the attacker's centre would push honestly, under a name."""
        honest = self.material.honest
        return self.branch(honest.plugin, honest.distilled, self.victim, name, self.facts(self.material))

    def posing(self, plugin: Plugin, distilled: DistilledDataset | None = None, name: str = NAME) -> Branch:
        """Return a branch for the victim's task with honest facts, whatever its plugin and its images are."""
        return self.branch(
            plugin, distilled or self.material.honest.distilled, self.victim, name, self.facts(self.material)
        )


@contextmanager
def _strengthened(model: nn.Module, strength: float) -> Iterator[None]:
    """Let the plugin change the weights so many times as much for a while."""
    layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    before = [dict(layer.scaling) for layer in layers]
    for layer in layers:
        layer.scaling = {name: strength * scale for name, scale in layer.scaling.items()}
    try:
        yield
    finally:
        for layer, scaling in zip(layers, before, strict=True):
            layer.scaling = scaling
