"""What the 10th, the 100th and the 1,000th arrival cost a forge that merges by the default.

A main branch is grown for each mark, arrival by arrival, through the same door as a forge's: admission, examination,
fold, commit. Its branches answer a few tasks in turn: for each task a plugin is trained for some steps on drawn tissue,
and every branch is that plugin and those images with a little noise of its own. Up to the mark nothing is examined,
which leaves the same main branch and takes less time; around it arrivals come by both doors in turn, examined and not.

The main branches take turns too, an arrival each, so that whatever else the machine does then falls on all alike. The
cost of the n-th arrival is the median CPU time, over all threads, of those around it; ratios are to the first mark's.

Beside the ratios stands the agreement: the largest main branch's forge item must be, to the byte, that of a fold of all
its branches from nothing. Exit status 1 where it is not, or where an arrival costs over 1.5 times the 10th.

Run from the repository's root: ``python -m benchmarks.arrival_cost [--marks 10 100 1000] [--tasks 3] [--json OUT]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import torch
from torch.nn import functional as F

from medforge.adapt import adapt, extract
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Admission, OriginPolicy, Policy
from medforge.aggregator.forge.stored_branches import StoredBranches
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.folding import refold
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base import BaseModule, load_base
from medforge.branch import Branch
from medforge.client.data.catalogue import open_task
from medforge.distilled import DistilledDataset
from medforge.plugin import Factors, Plugin, PluginSettings
from medforge.seeds import derive, generator

FLAT = 1.5
ORGANS = ("breast", "lung", "colon", "skin")
SETTINGS = PluginSettings(rank=4, alpha=4, dropout=0)
UNEXAMINED = "unexamined"
DOORS = {
    UNEXAMINED: Policy(admission=Admission(behaviour=False)),
    # all branches here are nearly copies: they are compared as usual, and not held for it
    "examined": Policy(admission=Admission(behaviour=True), origin=OriginPolicy(weights=1, images=1)),
}
_STEPS, _NOISE = 30, 0.01


@dataclass(frozen=True)
class Costs:
    """Hold the CPU seconds of arrivals by (door, mark), those of a fold from nothing, and whether that is the same.

    ``commits`` are the bytes of the newest commit, by mark.
    """

    seconds: Mapping[tuple[str, int], Sequence[float]]
    commits: Mapping[int, int]
    from_nothing: float
    same: bool

    def at(self, door: str, mark: int) -> float:
        """Return the median CPU seconds of an arrival by this door around the ``mark``-th."""
        return statistics.median(self.seconds[door, mark])

    def ratios(self) -> dict[str, dict[int, float]]:
        """Return by door and mark how many times the first mark's cost an arrival costs."""
        marks = sorted(self.commits)
        doors = dict.fromkeys(door for door, _ in self.seconds)
        return {door: {mark: self.at(door, mark) / self.at(door, marks[0]) for mark in marks} for door in doors}


def learned(
    base: BaseModule, organ: str, per_class: int, settings: PluginSettings = SETTINGS
) -> tuple[Plugin, DistilledDataset]:
    """Draw a few images of a tissue, and train a small plugin to tell their classes."""
    task = open_task(f"tissue:{organ},train={4 * per_class},validation=4,test=4", base.preprocessing, 0)
    chosen = torch.cat([places[:per_class] for places in task.train.by_class(len(task.prompts))])
    images, labels = base.normalise(task.train.images[chosen]).cpu(), task.train.labels[chosen]
    model = adapt(base, settings, derive(0, "benchmark", "arrival", organ))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(_STEPS):
        loss = F.cross_entropy(base.logits(model(images), task.prompts), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return extract(model, base, settings), DistilledDataset(images.to(torch.float16), labels, task.prompts)


def noisy(plugin: Plugin, dataset: DistilledDataset, number: int) -> tuple[Plugin, DistilledDataset]:
    """Return the plugin and the images with a little noise, another for each number."""
    random = generator(0, "benchmark", "arrival", number)
    factors = {
        site: Factors(*(part + _NOISE * part.std() * torch.randn(part.shape, generator=random) for part in pair))
        for site, pair in ((site, (f.down, f.up)) for site, f in plugin.factors.items())
    }
    images = dataset.images.float() + _NOISE * torch.randn(dataset.images.shape, generator=random)
    return replace(plugin, factors=factors), replace(dataset, images=images.to(torch.float16))


def build(
    base: BaseModule, material: tuple[Plugin, DistilledDataset], number: int, contributor: str, task: str
) -> Branch:
    """Make the branch of a number: a task's plugin and images with noise, by a contributor."""
    return Branch.build(
        *noisy(*material, number),
        contributor=contributor,
        task=task,
        base=base,
        training_images=60 + number % 200,
        recipe="benchmark",
        seed=number,
        validation={},
    )


def branches(base: BaseModule, made: Sequence[tuple[str, Plugin, DistilledDataset]]) -> Iterator[Branch]:
    """Make branches of the tasks in turn, each of a contributor of its own, without end."""
    for number in count():
        organ, plugin, dataset = made[number % len(made)]
        yield build(base, (plugin, dataset), number, f"site {number}", organ)


class Growing:
    """Hold a forge, and bring it branches."""

    def __init__(self, base: BaseModule, directory: Path, arriving: Iterator[Branch]) -> None:
        self.forge = Forge.establish(directory, base, choose_settings(), policy=DOORS[UNEXAMINED])
        self.main = MainBranch(self.forge, base)
        self._arriving = arriving

    def arrive(self, door: str) -> float:
        """Let the next branch in by a door, and return the CPU seconds that it took."""
        branch = next(self._arriving)
        self.forge.policy = DOORS[door]
        begun = time.process_time()
        self.main.fold(self.forge.admit(branch, self.main.base).number)
        return time.process_time() - begun

    def from_nothing(self) -> tuple[float, bool]:
        """Fold all branches from nothing; return the CPU seconds, and whether the forge item is the same."""
        head, base = self.main.head(), self.main.base
        assert head is not None
        begun = time.process_time()
        arrived = StoredBranches(self.forge, None).arrived(head.members)
        whole = refold(base, self.main.settings, arrived, ProbabilityCache(base, None))
        return time.process_time() - begun, whole.item.digest == head.item


def measure(options: argparse.Namespace) -> Costs:
    """Grow a main branch for each mark, in temporary directories, and let arrivals in around it."""
    base, marks = load_base(options.base, "cpu"), sorted(options.marks)
    doors = (UNEXAMINED,) if options.unexamined else tuple(DOORS)
    made = [(organ, *learned(base, organ, options.per_class)) for organ in ORGANS[: options.tasks]]
    seconds: dict[tuple[str, int], list[float]] = {(door, mark): [] for door in doors for mark in marks}
    timed = options.window * len(doors)
    with tempfile.TemporaryDirectory() as directory, ExitStack() as opened:
        growing = {mark: Growing(base, Path(directory) / str(mark), branches(base, made)) for mark in marks}
        for mark, one in growing.items():
            opened.callback(one.forge.close)
            for _ in range(mark - timed // 2 - 1):
                one.arrive(UNEXAMINED)
        for turn in range(timed):
            door = doors[turn % len(doors)]
            for mark, one in growing.items():
                seconds[door, mark].append(one.arrive(door))
        heads = {mark: one.main.head() for mark, one in growing.items()}
        commits = {mark: len(head.content) for mark, head in heads.items() if head}
        return Costs(seconds, commits, *growing[marks[-1]].from_nothing())


def report(costs: Costs, options: argparse.Namespace) -> dict[str, object]:
    """Return the numbers: seconds and ratio by door and mark, bytes of a commit, and a fold from nothing."""
    ratios = costs.ratios()
    last = max(costs.commits)
    return {
        "arrivals": {door: {mark: round(costs.at(door, mark), 4) for mark in of} for door, of in ratios.items()},
        "ratios": {door: {mark: round(ratio, 3) for mark, ratio in of.items()} for door, of in ratios.items()},
        "bytes of a commit": costs.commits,
        "from nothing": round(costs.from_nothing / costs.at(UNEXAMINED, last), 1),
        "same item as from nothing": costs.same,
        "tasks": options.tasks,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--marks", type=int, nargs="+", default=[10, 100, 1000], help="arrivals whose cost is printed")
    parser.add_argument("--tasks", type=int, default=3, choices=range(1, len(ORGANS) + 1))
    parser.add_argument("--per-class", type=int, default=4, help="distilled images of a class")
    parser.add_argument("--window", type=int, default=6, help="arrivals by a door that a median is of")
    parser.add_argument("--unexamined", action="store_true", help="leave the examination out")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args(arguments)
    costs = measure(options)
    ratios = costs.ratios()
    for door, of_door in ratios.items():
        for mark, ratio in of_door.items():
            print(
                f"arrival {mark:>5}, {door:>10}: {costs.at(door, mark):.3f} CPU s, {ratio:.2f} times the first mark; "
                f"its commit has {costs.commits[mark]} bytes"
            )
    print(f"a fold of all from nothing: {costs.from_nothing:.1f} CPU s; the same item: {costs.same}")
    if options.json:
        options.json.write_text(json.dumps(report(costs, options), indent=1) + "\n")
    flat = all(ratio <= FLAT for of_door in ratios.values() for ratio in of_door.values())
    return 0 if costs.same and flat else 1


if __name__ == "__main__":
    sys.exit(main())
