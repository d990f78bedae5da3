"""Send poisoned branches to a main branch of honest ones: what is refused, what is held, and what the rest can do.

Every attack is made from the plugin and distilled dataset of an honest centre and sent for each task, under each seed,
to two main branches: one that has the other tasks only ("new"), and one that has an honest branch of the same task too
("known"; the attacker's material is then that of the next seed). It passes admission and examination with a forge's
default policy, except that a merge which would be held is scored as well. Harm is the loss of test accuracy of the
honest tasks by the fold, in points: their mean, and the most that any of them lost. The honest row is the control: how
often honest branches are held, and what folding them costs. Test images are only scored, nothing is chosen by them.

Where a task has several centres (``--divide``), each attacks in its turn, or comes honestly, and the "known" main
branch has the others. How often honest branches were held is printed beside the attacks.

Artefacts are those of ``medforge benchmark`` with the same options; what is missing in ``--out`` is made.

Run from the repository's root: ``python -m benchmarks.poisoning --out runs/demo [--centre NAME=SOURCE …] [--seeds 0,1]
[--divide NAME=SITES:WAY …] [--methods routed,gated,joint,sequential,fusion] [--json OUT]``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.inputs import artefact_options, artefact_settings, finish
from medforge.adapt import extract
from medforge.aggregator.forge.admission import check_content, check_headers, check_manifest
from medforge.aggregator.forge.policy import Policy
from medforge.aggregator.main_branch.examination import BranchHeld, Examination
from medforge.aggregator.main_branch.objections import objections
from medforge.aggregator.merge import MethodSettings, choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import fold_round
from medforge.aggregator.merge.method import FoldResult
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.data.task import Task
from medforge.client.distill.score import train_on_distilled
from medforge.client.train import train
from medforge.distilled import DistilledDataset
from medforge.errors import MedForgeError
from medforge.forge_item import ForgeItem
from medforge.plugin import Factors, Plugin
from medforge.proto.errors import OverLimit
from medforge.seeds import generator, numpy_generator
from medforge.simulation.benchmark.jobs.artefacts import Distil, GatherFacts, Train, assemble
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.pool import in_order_of_need
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.settings import BenchmarkSettings
from medforge.simulation.evaluation import Evaluator

METHODS: dict[str, dict[str, str]] = {
    "routed": {},
    "gated": {"method": "mixture", "coefficients": "gated"},
    "joint": {"coefficients": "joint"},
    "sequential": {"coefficients": "sequential"},
    "fusion": {"method": "fusion"},
}
FITTING_STEPS = 80
CHECKS = ("refused", "chance", "zero-shot", "noise", "contradiction", "merge")


@dataclass(frozen=True)
class TrainOnExchanged(Train):
    """Train a plugin on a task's images, every label exchanged for the next class's."""

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{super().label} on exchanged labels"

    def facts(self, bench: Bench) -> Facts:
        """Add that the labels are exchanged."""
        return {**super().facts(bench), "labels": "exchanged"}

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Train and save."""
        task = bench.task(self.task, self.seed)
        classes = len(task.prompts)
        exchanged = replace(
            task,
            train=replace(task.train, labels=(task.train.labels + 1) % classes),
            validation=replace(task.validation, labels=(task.validation.labels + 1) % classes),
        )
        trained = train(bench.base, exchanged, bench.recipe().train, self.seed, place)
        trained.plugin.save(place)
        return {"digest": trained.plugin.digest, "best": trained.best._asdict()}


@dataclass(frozen=True)
class Material:
    """Hold what an attacker has: a task, a seed, and what an honest centre makes of them."""

    bench: Bench
    task: str
    seed: int

    @cached_property
    def honest(self) -> Branch:
        """The branch that an honest centre would push."""
        return assemble(self.bench, self.task, self.seed, "lora", "dm-dsa")

    def other(self, classes: int) -> Material | None:
        """Return the material of another task that has so many classes, None where there is none."""
        settings = self.bench.settings
        for name in settings.names:
            other = replace(self, task=name)
            if settings.task_of(name) != settings.task_of(self.task) and len(other.honest.distilled.prompts) >= classes:
                return other
        return None

    def trained_on(self, dataset: DistilledDataset) -> Plugin:
        """Train a plugin on distilled images alone."""
        recipe = self.bench.recipe().distill
        recipe = recipe.model_copy(update={"score_steps": FITTING_STEPS})
        return extract(
            train_on_distilled(dataset, self.bench.base, recipe, self.seed), self.bench.base, recipe.score.plugin
        )


Sent = tuple[Plugin, DistilledDataset] | None
Attack = Callable[[Material], Sent]


def honest(material: Material) -> Sent:
    """Send what an honest centre sends."""
    return material.honest.plugin, material.honest.distilled


def exchanged_labels(material: Material) -> Sent:
    """Return every distilled image the next class's label."""
    return material.honest.plugin, _exchanged(material.honest.distilled)


def exchanged_everywhere(material: Material) -> Sent:
    """Exchange the labels of the distilled images, and send a plugin that was trained on exchanged labels too."""
    return TrainOnExchanged(material.task, material.seed).plugin(material.bench), _exchanged(material.honest.distilled)


def some_exchanged(material: Material) -> Sent:
    """Exchange the labels of every third distilled image of each class."""
    distilled = material.honest.distilled
    places = torch.empty_like(distilled.labels)
    for label in range(len(distilled.prompts)):
        of_class = distilled.labels == label
        places[of_class] = torch.arange(int(of_class.sum()))
    third = places % 3 == 0
    exchanged = torch.where(third, _exchanged(distilled).labels, distilled.labels)
    return material.honest.plugin, replace(distilled, labels=exchanged)


def scaled(material: Material, factor: float) -> Sent:
    """Send a plugin whose weight change is so many times the honest one."""
    plugin = material.honest.plugin
    factors = {site: replace(pair, up=factor * pair.up) for site, pair in plugin.factors.items()}
    return replace(plugin, factors=factors), material.honest.distilled


def random_plugin(material: Material) -> Sent:
    """Send random factors of the honest ones' norms."""
    random = generator(material.seed, "poisoning", material.task)

    def like(tensor: Tensor) -> Tensor:
        drawn = torch.randn(tensor.shape, generator=random)
        scaled: Tensor = drawn * tensor.norm() / drawn.norm()
        return scaled

    plugin = material.honest.plugin
    factors = {site: Factors(like(pair.down), like(pair.up)) for site, pair in sorted(plugin.factors.items())}
    return replace(plugin, factors=factors), material.honest.distilled


def of_another_task(material: Material) -> Sent:
    """Send the plugin of another task."""
    other = material.other(2)
    return (other.honest.plugin, material.honest.distilled) if other else None


def noise(material: Material) -> Sent:
    """Send uniform noise as distilled images."""
    return material.honest.plugin, _noise(material)


def learned_noise(material: Material) -> Sent:
    """Send noise, and a plugin that was trained on it."""
    return material.trained_on(_noise(material)), _noise(material)


def imitation(material: Material) -> Sent:
    """Send another task's distilled images under this task's prompts, and a plugin that was trained on them."""
    classes = len(material.honest.distilled.prompts)
    other = material.other(classes)
    if other is None:
        return None
    theirs = other.honest.distilled
    kept = theirs.labels < classes
    dataset = replace(material.honest.distilled, images=theirs.images[kept], labels=theirs.labels[kept])
    return material.trained_on(dataset), dataset


ATTACKS: dict[str, Attack] = {
    "none (honest)": honest,
    "labels exchanged in S": exchanged_labels,
    "labels exchanged in S and in training": exchanged_everywhere,
    "every third label of S exchanged": some_exchanged,
    "plugin × 10": partial(scaled, factor=10),
    "plugin × 100": partial(scaled, factor=100),
    "random plugin": random_plugin,
    "plugin of another task": of_another_task,
    "noise as S": noise,
    "noise as S, plugin trained on it": learned_noise,
    "another task's S, plugin trained on it": imitation,
}


def refused(branch: Branch, base: BaseModule, policy: Policy) -> str:
    """Say "refused" where a branch is not admitted under a policy, nothing where it is."""
    try:
        check_manifest(branch.manifest, policy, 0)
        with tempfile.TemporaryDirectory() as directory:
            branch.save(Path(directory))
            files = {name: Path(directory) / name for name in branch.manifest.files}
            check_headers(branch.manifest, files, base, policy.limits)
        branch.check(base)
        check_content(branch, base, policy.admission)
    except (MedForgeError, OverLimit):
        return "refused"
    return ""


class Outcome(NamedTuple):
    """Say what became of one branch: the check that stopped it ("" for none), and by how much each task fell."""

    attack: str
    method: str
    main: str
    stopped: str
    harm: dict[str, float]


class Arena:
    """Fold branches of one seed behind honest ones, and score the honest tasks."""

    def __init__(self, bench: Bench, seed: int, images: int, policy: Policy) -> None:
        self.bench, self.seed, self.policy = bench, seed, policy
        self.base, self.probabilities = bench.base, bench.probabilities
        tasks = {name: _with_fewer(bench.task(name, seed), images, seed) for name in bench.settings.names}
        self._evaluator = Evaluator(bench.base, tasks)
        self._honest = cache(self._fold_honest)
        self._scores = cache(self._score_honest)

    def outcomes(
        self, attack: str, branch: Branch, methods: Sequence[str], main: str, names: tuple[str, ...]
    ) -> Iterator[Outcome]:
        """Send one branch to a main branch of some centres under every method."""
        stopped = refused(branch, self.base, self.policy) or self._examine(branch, names)
        for method in methods:
            # what is stopped is merged all the same, to see what it would have done, but for the slowest method
            if stopped == "refused" or (stopped and method == "fusion"):
                yield Outcome(attack, method, main, stopped, {})
                continue
            try:
                folded, reason = self._fold(branch, names, method)
            except MedForgeError:
                yield Outcome(attack, method, main, stopped or "refused", {})
                continue
            before, after = self._scores(names, method), self._score(folded.item, names)
            yield Outcome(attack, method, main, stopped or reason, {n: before[n] - after[n] for n in names})

    def _examine(self, branch: Branch, names: tuple[str, ...]) -> str:
        arrived = (*self._arrived(names), ArrivedBranch.of(len(names) + 1, branch))
        try:
            first = next(objections(arrived, self.base, self.probabilities, self.policy.admission), None)
        except MedForgeError:
            return "refused"
        return first.check if first else ""

    def _fold(self, branch: Branch, names: tuple[str, ...], method: str) -> tuple[FoldResult, str]:
        before = self._honest(names, method)
        arrived = (*self._arrived(names), ArrivedBranch.of(len(names) + 1, branch))
        folded = fold_round(self.base, self._settings(method), arrived, before.head, self.probabilities)
        try:
            examination = Examination(self.base, self.probabilities, self.policy.admission)
            examination.merge(arrived, before.head, before.metrics, folded)
        except BranchHeld:
            return folded, "merge"
        return folded, ""

    def _arrived(self, names: tuple[str, ...]) -> tuple[ArrivedBranch, ...]:
        honest = (Material(self.bench, name, self.seed).honest for name in names)
        return tuple(ArrivedBranch.of(number, branch) for number, branch in enumerate(honest, start=1))

    def _fold_honest(self, names: tuple[str, ...], method: str) -> FoldResult:
        head = self._honest(names[:-1], method).head if len(names) > 1 else None
        return fold_round(self.base, self._settings(method), self._arrived(names), head, self.probabilities)

    def _settings(self, method: str) -> MethodSettings:
        return choose_settings(**METHODS[method], seed=self.seed)

    def _score_honest(self, names: tuple[str, ...], method: str) -> dict[str, float]:
        return self._score(self._honest(names, method).item, names)

    def _score(self, item: ForgeItem, names: tuple[str, ...]) -> dict[str, float]:
        scores = {name: self._evaluator.score_item(name, item).acc for name in names}
        self._evaluator.forget(item)
        return scores


def run(options: argparse.Namespace) -> None:
    """Make what is missing, attack, print, and write JSON where asked for."""
    bench = Bench(artefact_settings(options), Store(options.out))
    names, seeds = bench.settings.names, bench.settings.seeds
    needed: list[Job] = []
    for name in names:
        for seed in range(min(seeds), max(seeds) + 2):
            needed += [Train(name, seed), Distil(name, seed), GatherFacts(name, seed)]
        needed += [TrainOnExchanged(name, seed + shift) for seed in seeds for shift in (0, 1)]
    for job in in_order_of_need(needed):
        if not job.done(bench):
            print(f"making {job.label}", file=sys.stderr)
            job.run(bench)
    outcomes: list[Outcome] = []
    for seed in seeds:
        arena = Arena(bench, seed, options.images, Policy())
        for main in ("new", "known"):
            for name in names:
                earlier = others_of(bench.settings, name, main)
                # an attacker who is no centre beside others of its task has images of its own seed
                material = Material(bench, name, seed + (main == "known" and name in earlier))
                for attack, make in ATTACKS.items():
                    sent = make(material)
                    if sent is None:
                        continue
                    branch = _branch(material, *sent)
                    print(f"seed {seed}: {attack} by {name}, its task {main}", file=sys.stderr)
                    outcomes += arena.outcomes(attack, branch, options.methods.split(","), main, earlier)
    for main in ("new", "known"):
        Console(width=150).print(table([one for one in outcomes if one.main == main], main))
    print(honest_share(outcomes))
    if options.json:
        options.json.write_text(json.dumps([one._asdict() for one in outcomes], indent=1))


def others_of(settings: BenchmarkSettings, name: str, main: str) -> tuple[str, ...]:
    """Return the centres whose branches a main branch has before an attacker with one centre's material comes.

    For the "new" main branch those of other tasks; for the "known" one also those of its task: the others where it has
    several centres, else the honest centre itself.
    """
    alone = len(settings.sharing(settings.names)[settings.task_of(name)]) == 1
    known = main == "known"
    return tuple(
        one
        for one in settings.names
        if settings.task_of(one) != settings.task_of(name) or (known and (alone or one != name))
    )


def honest_share(outcomes: Sequence[Outcome]) -> str:
    """Say of how many honest branches how many were refused, held at arrival, or held for their merge."""
    lines = []
    for main, method in dict.fromkeys((one.main, one.method) for one in outcomes):
        of = [one for one in outcomes if (one.main, one.method, one.attack) == (main, method, next(iter(ATTACKS)))]
        held = sum(bool(one.stopped) for one in of)
        lines.append(f"honest branches, {main} task, {method}: {held} of {len(of)} held ({held / max(len(of), 1):.0%})")
    return "\n".join(lines)


def table(outcomes: Sequence[Outcome], main: str) -> Table:
    """Lay out a row an attack and method: how many were sent, what stopped them, what those merged cost."""
    drawn = Table("attack", "method", "sent", *CHECKS, "merged", "harm", "worst", "harm if all were merged", "worst")
    drawn.title = f"an attacker's branch for a {main} task; harm in points of test accuracy"
    for attack, method in dict.fromkeys((one.attack, one.method) for one in outcomes):
        of = [one for one in outcomes if (one.attack, one.method) == (attack, method)]
        merged = [one for one in of if not one.stopped]
        counts = [str(sum(one.stopped == check for one in of) or "–") for check in CHECKS]
        cells = [*_harm(merged), *_harm([one for one in of if one.harm])]
        drawn.add_row(attack, method, str(len(of)), *counts, str(len(merged)), *cells)
    return drawn


def _harm(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    if not outcomes:
        return "–", "–"
    means = [sum(one.harm.values()) / len(one.harm) for one in outcomes]
    return f"{100 * sum(means) / len(means):.1f}", f"{100 * max(max(one.harm.values()) for one in outcomes):.1f}"


def _branch(material: Material, plugin: Plugin, distilled: DistilledDataset) -> Branch:
    return Branch.build(
        plugin,
        distilled,
        contributor="attacker",
        task=material.bench.settings.task_of(material.task),
        base=material.bench.base,
        training_images=1,
        recipe="poisoning",
        seed=material.seed,
        validation={},
    )


def _exchanged(distilled: DistilledDataset) -> DistilledDataset:
    return replace(distilled, labels=(distilled.labels + 1) % len(distilled.prompts))


def _noise(material: Material) -> DistilledDataset:
    distilled, base = material.honest.distilled, material.bench.base
    random = generator(material.seed, "poisoning", "noise", material.task)
    pixels = (256 * torch.rand(distilled.images.shape, generator=random)).to(torch.uint8)
    return replace(distilled, images=base.normalise(pixels).cpu().to(torch.float16))


def _with_fewer(task: Task, images: int, seed: int) -> Task:
    """Keep a random part of the test split, drawn by name; a task scored by slide is never cut."""
    split = task.test
    if len(split) <= images or task.score_by == "slide":
        return task
    chosen = numpy_generator(seed, "poisoning", "test images", task.name).permutation(len(split))[:images]
    return replace(
        task, test=replace(split, images=split.images.select(chosen), labels=split.labels[chosen], groups=None)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    artefact_options(parser)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--methods", default=",".join(METHODS), help="ways to merge, of " + ", ".join(METHODS))
    parser.add_argument("--images", type=int, default=200, help="test images a task at most")
    parser.add_argument("--json", type=Path, help="write every outcome here")
    return finish(run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
