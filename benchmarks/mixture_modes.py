"""Fold the same branches under every merge mode, and score each merged model on the tasks' validation splits.

For choosing a default without looking at a test split. The branches come from a forge (in arrival order) or from branch
directories (in the order given); each mode folds them into a forge of its own in a temporary directory. A second table
says, for ways of measuring the distance to a class mean, how often the gate sends a validation image to its own task's
branch.

Run from the repository's root:
``python -m benchmarks.mixture_modes --forge DIR --task NAME=SOURCE [--task …] [--limit 500] [--json OUT]``, where NAME
is the task's name in the branches' manifests.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from benchmarks.inputs import finish
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Admission, Policy
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import built_in, choose_settings, listing_of
from medforge.base import BaseModule, load_base
from medforge.branch import Branch
from medforge.client.data.catalogue import open_task
from medforge.client.data.task import Split, Task
from medforge.client.evaluate import score_split
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem
from medforge.prototype_gate import PrototypeGate
from medforge.seeds import numpy_generator

Scores = dict[str, float]


def modes() -> list[tuple[str, str, str]]:
    """Every (method, level, coefficients) that is registered."""
    return [(name, *mode) for name in built_in() for mode in listing_of(name).modes]


def read_branches(forge: Path | None, directories: Sequence[Path]) -> list[Branch]:
    """Read what has arrived in a forge, then branch directories."""
    branches = []
    if forge is not None:
        opened = Forge.open(forge)
        branches = [opened.load_branch(arrival.number) for arrival in opened.ledger.arrivals()]
        opened.close()
    return branches + [Branch.load(directory) for directory in directories]


def merge(base: BaseModule, branches: Sequence[Branch], mode: tuple[str, str, str]) -> ForgeItem:
    """Fold the branches under one mode, through the same door as a forge."""
    method, level, coefficients = mode
    settings = choose_settings(method=method, level=level, coefficients=coefficients)
    with tempfile.TemporaryDirectory() as directory:
        unexamined = Policy(admission=Admission(behaviour=False))
        forge = Forge.establish(Path(directory), base, settings, policy=unexamined)
        main = MainBranch(forge, base)
        for branch in branches:
            main.fold(forge.admit(branch, base).number)
        item = main.checkout()
        forge.close()
    return item


def validation_of(task: Task, limit: int) -> Split:
    """Return the validation split, or a fixed random part of it; a task scored by slide is never cut."""
    split = task.validation
    if len(split) <= limit or task.score_by == "slide":
        return split
    chosen = numpy_generator(0, "mixture modes", task.name).permutation(len(split))[:limit]
    return Split(split.images.select(chosen), split.labels[torch.from_numpy(chosen)])


def score_all(base: BaseModule, tasks: Mapping[str, Task], splits: Mapping[str, Split], item: ForgeItem) -> Scores:
    """Score a merged model on every task."""
    scores = {}
    for name, task in tasks.items():
        prompts = task.prompts
        metrics = score_split(
            lambda images, prompts=prompts: item.logits(base, images, prompts),  # type: ignore[misc]
            base,
            splits[name],
            task.score_by == "slide",
        )
        scores[name] = metrics.acc
    return scores


def score_alone(
    base: BaseModule, tasks: Mapping[str, Task], splits: Mapping[str, Split], branches: Sequence[Branch]
) -> Scores:
    """Score on every task the plugin that was trained for it."""
    scores = {}
    for branch in branches:
        name = branch.manifest.task
        if name in tasks:
            deltas, prompts = branch.plugin.deltas(base), tasks[name].prompts
            metrics = score_split(
                lambda images, d=deltas, p=prompts: base.logits(base.embed(images, d), p),  # type: ignore[misc]
                base,
                splits[name],
                tasks[name].score_by == "slide",
            )
            scores[name] = metrics.acc
    return scores


def routing(base: BaseModule, splits: Mapping[str, Split], branches: Sequence[Branch]) -> dict[str, Scores]:
    """Share of each task's validation images that the gate, or a plain distance, sends to a branch of that task."""
    embeddings = [base.embed_all(branch.distilled.images).cpu() for branch in branches]
    gate = PrototypeGate.fit(embeddings, [branch.distilled.labels for branch in branches])
    owners = [branch.manifest.task for branch in branches]
    plain = replace(gate, metric=torch.eye(gate.metric.shape[0]))
    unit = replace(plain, prototypes=F.normalize(gate.prototypes, dim=1))
    shares: dict[str, Scores] = {}
    for name, split in splits.items():
        images = base.embed_all(base.normalise(split.images[: len(split)])).cpu()
        choices = {
            "pooled covariance (the gate)": gate.choose(images),
            "Euclidean": plain.choose(images),
            "cosine": unit.choose(F.normalize(images, dim=1)),
        }
        for measure, choice in choices.items():
            chosen = [owners[index] for index in choice.tolist()]
            shares.setdefault(measure, {})[name] = chosen.count(name) / len(chosen)
    return shares


def show(title: str, rows: Mapping[str, Scores], tasks: Sequence[str]) -> None:
    """Print one table: a row a method, a column a task, and the mean."""
    table = Table(title, *tasks, "mean")
    for label, scores in rows.items():
        cells = [f"{scores[name]:.3f}" if name in scores else "–" for name in tasks]
        table.add_row(label, *cells, f"{sum(scores.values()) / len(scores):.3f}" if scores else "–")
    Console().print(table)


def run(options: argparse.Namespace) -> None:
    """Fold, score, print, and write JSON where asked for."""
    branches = read_branches(options.forge, options.branch)
    if not branches:
        raise InvalidInput("there is no branch to fold; give a forge with arrivals, or branch directories")
    base = load_base(options.base or branches[0].manifest.base_spec, options.device)
    sources = dict(entry.split("=", 1) for entry in options.task)
    tasks = {name: open_task(source, base.preprocessing, options.seed) for name, source in sources.items()}
    splits = {name: validation_of(task, options.limit) for name, task in tasks.items()}
    results = {"each plugin alone": score_alone(base, tasks, splits, branches)}
    for mode in modes():
        results[" ".join(mode)] = score_all(base, tasks, splits, merge(base, branches, mode))
    shares = routing(base, splits, branches)
    show("validation accuracy", results, list(tasks))
    show("images sent to their own branch", shares, list(tasks))
    if options.json:
        options.json.write_text(json.dumps({"accuracy": results, "routing": shares}, indent=2))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forge", type=Path, help="a forge's directory")
    parser.add_argument("--branch", type=Path, action="append", default=[], help="a branch directory")
    parser.add_argument("--task", action="append", required=True, help="NAME=SOURCE of a task to score on")
    parser.add_argument("--base", help="base module; by default the one that the branches name")
    parser.add_argument("--limit", type=int, default=500, help="validation images a task at most")
    parser.add_argument("--seed", type=int, default=0, help="seed of the splits; that of the branches' training")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    return finish(run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
