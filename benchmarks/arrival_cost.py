"""What the 10th, the 100th and the 1,000th arrival cost a forge that merges by the default.

One main branch is grown arrival by arrival, through the same door as a forge's: admission, examination, fold, commit.
Its branches answer a few tasks in turn: for each task a plugin is trained for some steps on drawn tissue, and every
branch is that plugin and those images with a little noise of its own. The cost of the n-th arrival is the median CPU
time, over all threads, of the last few arrivals up to it; ratios are to the 10th.

Beside the ratios stands the agreement: the forge item that has grown arrival by arrival must be, to the byte, that of
a fold of all branches from nothing. Exit status 1 where it is not, or where an arrival costs over 1.5 times the 10th.

Run from the repository's root: ``python -m benchmarks.arrival_cost [--marks 10 100 1000] [--tasks 3] [--json OUT]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn import functional as F

from medforge.adapt import adapt, extract
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Admission, Policy
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
_STEPS, _NOISE = 30, 0.01


@dataclass(frozen=True)
class Costs:
    """Hold the CPU seconds of every arrival, those of a fold from nothing, and whether both gave the same item."""

    seconds: tuple[float, ...]
    from_nothing: float
    same: bool

    def at(self, mark: int, window: int) -> float:
        """Return the median CPU seconds of the last ``window`` arrivals up to the ``mark``-th."""
        return statistics.median(self.seconds[max(mark - window, 0) : mark])


def learned(base: BaseModule, organ: str, per_class: int) -> tuple[Plugin, DistilledDataset]:
    """Draw a few images of a tissue, and train a small plugin to tell their classes."""
    task = open_task(f"tissue:{organ},train={4 * per_class},validation=4,test=4", base.image_size, 0)
    chosen = torch.cat([places[:per_class] for places in task.train.by_class(len(task.prompts))])
    images, labels = base.normalise(task.train.images[chosen]).cpu(), task.train.labels[chosen]
    model = adapt(base, SETTINGS, derive(0, "benchmark", "arrival", organ))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(_STEPS):
        loss = F.cross_entropy(base.logits(model(images), task.prompts), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return extract(model, base, SETTINGS), DistilledDataset(images.to(torch.float16), labels, task.prompts)


def branches(base: BaseModule, tasks: int, per_class: int, count: int) -> Iterator[Branch]:
    """Make branches of the tasks in turn, each of a contributor of its own."""
    made = [(organ, *learned(base, organ, per_class)) for organ in ORGANS[:tasks]]
    for number in range(count):
        organ, plugin, dataset = made[number % tasks]
        random = generator(0, "benchmark", "arrival", number)
        factors = {
            site: Factors(*(part + _NOISE * part.std() * torch.randn(part.shape, generator=random) for part in pair))
            for site, pair in ((site, (f.down, f.up)) for site, f in plugin.factors.items())
        }
        noisy = dataset.images.float() + _NOISE * torch.randn(dataset.images.shape, generator=random)
        yield Branch.build(
            replace(plugin, factors=factors),
            replace(dataset, images=noisy.to(torch.float16)),
            contributor=f"site {number}",
            task=organ,
            base=base,
            training_images=60 + number % 200,
            recipe="benchmark",
            seed=number,
            validation={},
        )


def grow(base: BaseModule, arriving: Iterator[Branch], directory: Path, examined: bool) -> Costs:
    """Grow a main branch, then fold all its branches from nothing."""
    settings, policy = choose_settings(), Policy(admission=Admission(behaviour=examined))
    forge = Forge.establish(directory, base, settings, policy=policy)
    main, seconds = MainBranch(forge, base), []
    for branch in arriving:
        begun = time.process_time()
        main.fold(forge.admit(branch, base).number)
        seconds.append(time.process_time() - begun)
    head = main.head()
    assert head is not None
    begun = time.process_time()
    arrived = StoredBranches(forge, None).arrived(head.members)
    whole = refold(base, settings, arrived, ProbabilityCache(base, None))
    from_nothing = time.process_time() - begun
    forge.close()
    return Costs(tuple(seconds), from_nothing, whole.item.digest == head.item)


def measure(options: argparse.Namespace) -> Costs:
    """Grow a main branch of as many branches as the last mark says, in a temporary directory."""
    base = load_base(options.base, "cpu")
    with tempfile.TemporaryDirectory() as directory:
        arriving = branches(base, options.tasks, options.per_class, max(options.marks))
        return grow(base, arriving, Path(directory), not options.unexamined)


def report(costs: Costs, options: argparse.Namespace) -> dict[str, object]:
    """Return the numbers: seconds and ratio of every mark, and of a fold from nothing."""
    marks = sorted(options.marks)
    first = costs.at(marks[0], options.window)
    return {
        "arrivals": {mark: round(costs.at(mark, options.window), 4) for mark in marks},
        "ratios": {mark: round(costs.at(mark, options.window) / first, 3) for mark in marks},
        "from nothing": round(costs.from_nothing / costs.at(marks[-1], options.window), 1),
        "same item as from nothing": costs.same,
        "tasks": options.tasks,
        "examined": not options.unexamined,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--marks", type=int, nargs="+", default=[10, 100, 1000], help="arrivals whose cost is printed")
    parser.add_argument("--tasks", type=int, default=3, choices=range(1, len(ORGANS) + 1))
    parser.add_argument("--per-class", type=int, default=4, help="distilled images of a class")
    parser.add_argument("--window", type=int, default=6, help="arrivals that a median is of")
    parser.add_argument("--unexamined", action="store_true", help="leave the examination out")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args(arguments)
    costs = measure(options)
    found = report(costs, options)
    for mark in sorted(options.marks):
        ratio = found["ratios"][mark]  # type: ignore[index]
        print(f"arrival {mark:>5}: {costs.at(mark, options.window):.3f} CPU s, {ratio:.2f} times the first mark")
    print(f"a fold of all from nothing: {costs.from_nothing:.1f} CPU s; the same item: {costs.same}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    flat = all(ratio <= FLAT for ratio in found["ratios"].values())  # type: ignore[attr-defined]
    return 0 if costs.same and flat else 1


if __name__ == "__main__":
    sys.exit(main())
