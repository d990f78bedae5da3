"""The jobs of what privacy costs and buys: what a site would send under an ε, shadows of it, and attacks on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from medforge.base import BaseModule
from medforge.class_statistics import ClassStatistics
from medforge.client.audit.gallery import survey
from medforge.client.audit.membership import attacks_on_images, attacks_on_plugin
from medforge.client.audit.policy import SitePolicy
from medforge.client.audit.shadows.attack import Parts, ShadowOrder, attack_by_shadows
from medforge.client.audit.shadows.budget import ShadowBudget
from medforge.client.audit.shadows.training import ShadowTraining
from medforge.client.audit.statistics_attacks import attack_statistics
from medforge.client.data.task import Split, Task
from medforge.client.distill.run import distill
from medforge.client.embeddings import embed_task
from medforge.client.evaluate import score_plugin
from medforge.client.facts import private_facts
from medforge.client.privacy.centre import PrivateCentre
from medforge.client.recipe import Recipe
from medforge.client.recipes import with_privacy
from medforge.client.release import release
from medforge.client.shadow_statistics import statistics_of_halves
from medforge.client.train import train
from medforge.distilled import DistilledDataset
from medforge.files import write_atomically
from medforge.manifest import STATISTICS_FILE
from medforge.plugin import Plugin
from medforge.progress import Progress
from medforge.seeds import generator
from medforge.simulation.benchmark.jobs.artefacts import DISTILLED_FILE
from medforge.simulation.benchmark.jobs.embeddings import embed_split
from medforge.simulation.benchmark.jobs.job import Artefact, Job
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.results.privacy import AttackFound, Released
from medforge.task_spread import STATISTICS_SHRINKAGE, TaskSpread

_WITHOUT_END = 1e9


@dataclass(frozen=True)
class _UnderEpsilon(Artefact):
    """Make something of a site that keeps an ε, or has no differential privacy (None)."""

    epsilon: float | None = None

    @property
    def _asked(self) -> str:
        return f"{self.task}, seed {self.seed}, " + ("no noise" if self.epsilon is None else f"ε {self.epsilon:g}")

    def recipe(self, bench: Bench) -> Recipe:
        """Return the recipe, under the ε."""
        recipe = bench.recipe()
        return recipe if self.epsilon is None else with_privacy(recipe, {"epsilon": self.epsilon})

    def facts(self, bench: Bench) -> Facts:
        """Name the recipe and how many images are used."""
        recipe = self.recipe(bench)
        return {
            "artefact": self.sort,
            "train": recipe.train.model_dump(mode="json"),
            "distill": recipe.distill.model_dump(mode="json"),
            "privacy": recipe.privacy and recipe.privacy.model_dump(mode="json"),
            "images": bench.settings.images,
            **bench.facts(self.task, self.seed),
        }

    def drawn(self, bench: Bench) -> Task:
        """Return the task with as many images a split as the settings allow, drawn by the seed."""
        task, most = bench.task(self.task, self.seed), bench.settings.images
        if most is None:
            return task
        parts = {name: _some(split, most, self.seed, name) for name, split in task.splits.items()}
        return replace(task, train=parts["train"], validation=parts["validation"], test=parts["test"])


@dataclass(frozen=True)
class Send(_UnderEpsilon):
    """Make plugin, distilled images and class statistics as a site does that keeps an ε, and score each on its own."""

    sort = "what a site sends"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{self._asked}: what the site sends"

    def private(self, bench: Bench, task: Task) -> PrivateCentre | None:
        """Return what noises all that the site sends; None without an ε."""
        recipe = self.recipe(bench)
        if recipe.privacy is None:
            return None
        return PrivateCentre(bench.base, task, recipe, self.place(bench) / "privacy")

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Train and sum up; the statistics' score is that of a linear discriminant on the frozen base."""
        base, task, recipe = bench.base, self.drawn(bench), self.recipe(bench)
        private = self.private(bench, task)
        trained = train(base, task, recipe.train, self.seed, place, self.progress(bench), private=private)
        trained.plugin.save(place / "plugin")
        statistics = (
            release(embed_task(base, task), task, SitePolicy()).statistics
            if private is None
            else private_facts(private, task, SitePolicy(), statistics=True).statistics
        )
        if statistics is not None:
            write_atomically(place / STATISTICS_FILE, statistics.to_bytes())
        own = embed_split(base, task.train, {})
        exact = ClassStatistics.of(own, task.train.labels, len(task.prompts))
        return {
            "images": len(task.train),
            "others": len(task.validation) + len(task.test),
            "spent": None if private is None else private.plan.facts.epsilon,
            "plugin": score_plugin(trained.plugin, base, task, "test").acc,
            "statistics": None if statistics is None else _accuracy(statistics, base, task),
            "exact": _accuracy(exact, base, task),
        }

    def plugin(self, bench: Bench) -> Plugin:
        """Read the plugin."""
        return Plugin.load(self.place(bench) / "plugin")

    def statistics(self, bench: Bench) -> ClassStatistics | None:
        """Read the class statistics, if any are sent."""
        path = self.place(bench) / STATISTICS_FILE
        return ClassStatistics.from_bytes(path.read_bytes(), str(path)) if path.exists() else None


@dataclass(frozen=True)
class SendImages(_UnderEpsilon):
    """Distil as a site does that keeps an ε, beside its plugin, and score the images by a linear discriminant."""

    sort = "distilled images that a site sends"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{self._asked}: distilled images"

    @property
    def sent(self) -> Send:
        """What is sent beside them."""
        return Send(self.task, self.seed, self.epsilon)

    @property
    def needs(self) -> tuple[Job, ...]:
        """The plugin, and the plan by which ε is shared."""
        return (self.sent,)

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Distil and save."""
        base, task, recipe = bench.base, self.drawn(bench), self.recipe(bench)
        plugin, private = self.sent.plugin(bench), self.sent.private(bench, task)
        learned = distill(
            base, task, recipe.distill, self.seed, place, self.progress(bench), plugin, private=private
        ).dataset
        learned.save(place / DISTILLED_FILE)
        rows = base.embed_all(learned.images.float()).cpu()
        return {"acc": _accuracy(ClassStatistics.of(rows, learned.labels, len(task.prompts)), base, task)}

    def dataset(self, bench: Bench) -> DistilledDataset:
        """Read the images."""
        return DistilledDataset.load(self.place(bench) / DISTILLED_FILE)


@dataclass(frozen=True)
class AttackMembers(_UnderEpsilon):
    """Attack what a site sends, by losses, nearness and shadows, as its own audit does.

    Members are its training images; others its validation and test images, of which the latter chose nothing.
    """

    distilled: bool = True
    """Whether there are distilled images."""

    sort = "train shadows and attack"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{self._asked}: attacks"

    @property
    def sent(self) -> Send:
        """What is attacked."""
        return Send(self.task, self.seed, self.epsilon)

    @property
    def images(self) -> SendImages:
        """The distilled images, where there are any."""
        return SendImages(self.task, self.seed, self.epsilon)

    @property
    def needs(self) -> tuple[Job, ...]:
        """What is attacked."""
        return (self.sent, self.images) if self.distilled else (self.sent,)

    def facts(self, bench: Bench) -> Facts:
        """Add what is attacked, and by how many shadows."""
        settings = bench.settings
        asked = {"shadows": settings.shadows, "distilled": self.distilled, "distils": settings.distil_shadows}
        return {**super().facts(bench), **asked}

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Train the shadows that are missing, and attack."""
        base, whole, recipe = bench.base, self.drawn(bench), self.recipe(bench)
        learned = self.images.dataset(bench) if self.distilled else None
        parts = Parts(self.sent.plugin(bench), learned, self.sent.statistics(bench))
        others = _joined(whole.validation, whole.test)
        task = replace(whole, validation=others, there=("train", "validation"))
        with Progress("auditing", len(task.train) + len(others)) as bar:
            gallery = survey(base, task, parts.plugin, embed_task(base, task), bar)
        tried = attacks_on_plugin(gallery)
        if learned is not None:
            tried += attacks_on_images(
                gallery, learned.pixels(base.mean, base.std), base.embed_all(learned.images).cpu()
            )
        if parts.statistics is not None:
            tried += attack_statistics(
                parts.statistics, gallery.embeddings, gallery.labels, gallery.groups, gallery.members
            )
        kept, settings = bench.store.cache / "shadows", bench.settings
        budget = ShadowBudget(settings.shadows, _WITHOUT_END)
        order = ShadowOrder(recipe, statistics_of_halves(SitePolicy()), budget, kept, distils=settings.distil_shadows)
        training = ShadowTraining(base, task, gallery, recipe, self.seed, kept)
        names = [str(at) for at in range(len(gallery))]
        evidence = attack_by_shadows(training, order, parts, names, self.progress(bench))
        exposed = evidence.found.exposed
        assert exposed is not None
        return {
            "attacks": [one.result.model_dump(mode="json") for one in (*tried, *evidence.attacks)],
            "exposed": exposed.ratio,
            "highest": exposed.others,
            "above": exposed.above,
            "said": list(evidence.found.said),
        }


def read_released(bench: Bench, job: AttackMembers) -> Released:
    """Read what came of a site under an ε."""
    sent: dict[str, Any] = job.sent.record(bench)
    found: dict[str, Any] = job.record(bench)
    return Released(
        members=sent["images"],
        others=sent["others"],
        spent=sent["spent"],
        plugin=sent["plugin"],
        distilled=job.images.record(bench)["acc"] if job.distilled else None,
        statistics=sent["statistics"],
        exact=sent["exact"],
        attacks=tuple(AttackFound.model_validate(one) for one in found["attacks"]),
        exposed=found["exposed"],
        highest=found["highest"],
        above=found["above"],
    )


def _some(split: Split, most: int, seed: int, name: str) -> Split:
    if len(split) <= most:
        return split
    at = torch.randperm(len(split), generator=generator(seed, "benchmark", "privacy", name))[:most].sort().values
    groups = None if split.groups is None else tuple(split.groups[place] for place in at.tolist())
    return Split(split.images.select(at.numpy()), split.labels[at], groups)


def _joined(first: Split, second: Split) -> Split:
    groups = None if first.groups is None or second.groups is None else first.groups + second.groups
    return Split(first.images.joined(second.images), torch.cat([first.labels, second.labels]), groups)


def _accuracy(statistics: ClassStatistics, base: BaseModule, task: Task) -> float:
    spread = TaskSpread.of(statistics, STATISTICS_SHRINKAGE)
    found = spread.class_log_probabilities(embed_split(base, task.test, {})).argmax(dim=1)
    return float((found == task.test.labels).double().mean())
