"""Time a routed model of many tasks against one plain merged plugin, by every engine, on the same images.

The plain model is open_clip's own network with one plugin in its weights (as in `benchmarks.prediction`), in the same
dtype; for onnx and openvino it is one pass of the engine's own tower. A routed answer is two passes, so that half the
speed of the plain model is the most there is, by the same engine. Images are decoded already.

A model of N tasks has a drawn plugin for each. The images of a batch are ``near`` (all of one task) or ``apart`` (each
of another task, as many as there are), and every pair of plain and routed is timed in turn. What the first batch costs,
with merging, metrics and prompts, is timed once, apart.

Beside the ratio stands the agreement: by how much an expert's class probabilities are off those of open_clip in fp32
with the same weights, for a few images; more than 1e-4 by an engine in fp32, and the exit status is 1.

Run from the repository's root: ``python -m benchmarks.inference [--tasks 4 100 1000] [--engine NAME] [--json OUT]``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.inputs import open_base
from benchmarks.prediction import AGREEMENT, PlainModel
from medforge import __version__
from medforge.base_module import BaseModule
from medforge.class_statistics import ClassStatistics
from medforge.client.data.catalogue import open_task
from medforge.declared_task import TaskClass
from medforge.encoder import Encoder
from medforge.model.answering import BATCH
from medforge.model.engines.choice import open_tower
from medforge.model.merged_model import MergedModel
from medforge.model_card import CardMember, CardTask, ModelCard, Recipe
from medforge.plugin import Factors, Plugin, PluginSettings
from medforge.routed import Routed
from medforge.routed_task import RoutedTask
from medforge.seeds import generator
from medforge.single_network import FusedPlugin
from medforge.task_card import TaskCard, TaskMember
from medforge.task_spread import STATISTICS_SHRINKAGE, TaskSpread

ENGINES = ("torch", "torch-bf16", "onnx", "openvino", "openvino-bf16")
PICTURES = ("near", "apart")
CLASSES = 3
ORGANS = ("breast", "lung", "colon")
_RANK, _CHANGE, _NEARBY = 8, 0.02, 0.02


@dataclass(frozen=True)
class Row:
    """Hold a measurement: images per CPU second, their ratio, what the first batch took, and the agreement."""

    engine: str
    tasks: int
    images: str
    batch: int
    experts: int
    plain: float
    routed: float
    ratio: float
    first: float
    apart: float


def drawn(base: BaseModule, seed: int) -> NDArray[np.uint8]:
    """Draw a batch of different images, uint8 [64, 3, S, S], of several tissues."""
    each = -(-BATCH // len(ORGANS))
    tasks = [
        open_task(f"tissue:{organ},train={each},validation=4,test=4", base.preprocessing, seed) for organ in ORGANS
    ]
    found: NDArray[np.uint8] = np.concatenate([task.train.images[:each].numpy() for task in tasks])[:BATCH]
    return found


def close_to(image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Return a batch of one image with a little noise, another in each."""
    noise = np.random.default_rng(seed).integers(-3, 4, (BATCH, *image.shape))
    found: NDArray[np.uint8] = np.clip(image.astype(np.int64) + noise, 0, 255).astype(np.uint8)
    return found


def model_of(base: BaseModule, count: int, pixels: NDArray[np.uint8], seed: int) -> Routed:
    """Make a model of ``count`` tasks: the classes of the n-th lie around the n-th image.

    From the 65th on they lie around points that are drawn as the images' embeddings lie.
    """
    embeddings = base.embed_all(base.normalise(torch.from_numpy(pixels))).cpu()
    random = generator(seed, "benchmark", "inference", count)
    measured = TaskSpread.of(
        ClassStatistics.of(embeddings, torch.arange(len(embeddings)) % len(ORGANS), len(ORGANS)), STATISTICS_SHRINKAGE
    )
    noise = torch.randn(count, embeddings.shape[1], generator=random) * embeddings.std(dim=0)
    around = torch.cat([embeddings, embeddings.mean(dim=0) + noise])[:count]
    tasks = []
    for number, centre in enumerate(around):
        means = centre + _NEARBY * embeddings.std(dim=0) * torch.randn(CLASSES, len(centre), generator=random)
        name = f"task {number:04}"
        card = TaskCard(
            name=name,
            classes=tuple(TaskClass(key=f"class-{k}", prompt=f"class {k} of {name}") for k in range(CLASSES)),
            members=(TaskMember(branch=f"{number:064x}", weight=1),),
        )
        spread = TaskSpread(means, torch.ones(CLASSES, dtype=torch.int64), measured.covariance.float())
        tasks.append(RoutedTask(card, spread, FusedPlugin(_plugin(base, random))))
    return Routed(tuple(tasks))


def _plugin(base: BaseModule, random: torch.Generator) -> Plugin:
    factors = {}
    for site in base.sites:
        rows, columns = base.site_shape(site)
        down, up = torch.randn(_RANK, columns, generator=random), torch.randn(rows, _RANK, generator=random)
        factors[site] = Factors(_CHANGE * down, _CHANGE * up)
    return Plugin(PluginSettings(kind="lora", rank=_RANK, alpha=float(_RANK)), base.fingerprint, factors)


class Compared:
    """Hold a routed model and a plain one, run by one engine."""

    def __init__(self, engine: str, item: Routed, bases: dict[str, BaseModule], memory: int | None) -> None:
        name, _, dtype = engine.partition("-")
        self.item = item
        self.base = bases[dtype or "fp32"] if name == "torch" else bases["fp32"]
        tower = open_tower(name, self.base, dtype or "fp32")
        self.model = MergedModel(_card(self.base, item), item, self.base, memory, tower)
        self._exact = MergedModel(self.model.card, item, bases["fp32"])
        self._encoder = Encoder(self.base, 10**9, tower)
        self._plain = PlainModel(self.model) if name == "torch" else None

    def plain(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Return the first task's plugin's class probabilities [n, C]."""
        if self._plain is not None:
            return self._plain.answer(pixels)
        one = self.item.tasks[0]
        images = self.base.normalise(torch.from_numpy(pixels))
        found = self._encoder.embed_each(images, [one.expert], torch.zeros(len(pixels), dtype=torch.int64))
        return self.base.logits(found, one.prompts).softmax(dim=1)

    def routed(self, pixels: NDArray[np.uint8], batch: int) -> None:
        """Answer images in batches."""
        for start in range(0, len(pixels), batch):
            list(self.model.stream(iter(pixels[start : start + batch])))

    def experts(self, pixels: NDArray[np.uint8]) -> int:
        """Count the tasks that images are of."""
        embeddings = self.model.encoder.embed(self.base.normalise(torch.from_numpy(pixels))).cpu()
        return len(self.item.route(embeddings).likeliest.unique())

    def off(self, pixels: NDArray[np.uint8]) -> float:
        """Return the largest difference of a class probability from open_clip's in fp32, over a few images."""
        names = [task.card.name for task in self.item.tasks]
        apart = 0.0
        for place, found in enumerate(self.model.stream(iter(pixels[:4]), top=CLASSES)):
            due = PlainModel(self._exact, names.index(found.task)).answer(pixels[[place]])[0]
            mine = {one.prompt: one.class_probability for one in found.ranking if one.task == found.task}
            prompts = self.item.tasks[names.index(found.task)].prompts
            apart = max(apart, *(abs(float(due[prompts.index(prompt)]) - chance) for prompt, chance in mine.items()))
        return apart


def _card(base: BaseModule, item: Routed) -> ModelCard:
    return ModelCard(
        medforge=__version__,
        kind=item.kind,
        item="0" * 64,
        base=base.facts,
        tasks=tuple(CardTask(name=one.card.name, classes=one.card.classes) for one in item.tasks),
        members=tuple(CardMember(branch=m.branch, task=one.card.name) for one in item.tasks for m in one.card.members),
        recipe=Recipe(method={"method": "routed"}, seed=0),
    )


def timed(run: Callable[[], object]) -> float:
    """Return the CPU seconds that something takes."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


def compare(compared: Compared, engine: str, pixels: NDArray[np.uint8], images: str, batch: int, repeats: int) -> Row:
    """Time plain and routed answers in turn; single images are a few of the batch."""
    chosen = pixels if batch > 1 else pixels[:: len(pixels) // 8]

    def alone() -> None:
        for start in range(0, len(chosen), batch):
            compared.plain(chosen[start : start + batch])

    first = timed(lambda: compared.routed(chosen, batch))
    alone()
    pairs = [(timed(alone), timed(lambda: compared.routed(chosen, batch))) for _ in range(repeats)]
    plain, routed = (len(chosen) / statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    tasks, experts = len(compared.item.tasks), compared.experts(chosen)
    return Row(engine, tasks, images, batch, experts, plain, routed, ratio, first, compared.off(chosen))


def measure(options: argparse.Namespace) -> list[Row]:
    """Compare every engine at every number of tasks, and print each row as it comes."""
    bases = {dtype: open_base(options.base, "cpu", dtype) for dtype in ("fp32", "bf16")}
    pixels = drawn(bases["fp32"], options.seed)
    given = {"near": close_to(pixels[0], options.seed), "apart": pixels}
    rows = []
    print(f"{options.base}, {torch.get_num_threads()} threads, seed {options.seed}; images per CPU second")
    for count in options.tasks:
        item = model_of(bases["fp32"], count, pixels, options.seed)
        for engine in options.engine:
            compared = Compared(engine, item, bases, options.expert_memory)
            for images in PICTURES:
                for batch in options.batches:
                    row = compare(compared, engine, given[images], images, batch, options.repeats)
                    rows.append(row)
                    print(
                        f"{engine:13} {count:5} tasks, batch {batch:2} of {row.experts:2} experts: plain "
                        f"{row.plain:6.1f}, routed {row.routed:6.1f}, {row.ratio:.2f}×; at first {row.first:.2f} s; "
                        f"apart {row.apart:.1e}",
                        flush=True,
                    )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 where fp32 differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--tasks", type=int, nargs="+", default=[4, 100, 1000])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, BATCH])
    parser.add_argument("--engine", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--expert-memory", type=int, metavar="MB", help="default: a quarter of what is free")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as cache:
        # graphs of towers are kept there, and belong to no user
        os.environ["XDG_CACHE_HOME"] = cache
        rows = measure(options)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0 if all(row.apart <= AGREEMENT for row in rows if "bf16" not in row.engine) else 1


if __name__ == "__main__":
    sys.exit(main())
