"""Time DM-DSA steps against the plain loop of the paper's algorithm, on the same inputs.

The plain loop is Algorithm 1 taken literally: one class at a time, 256 real images of it opened and decoded from their
files at every step, everything in fp32. MedForge decodes once, embeds all classes in one batch with bf16 weights, and
draws fewer real images, whose mean it corrects by a control variate (medforge.client.distill.real).

With the same batch in fp32 both are the same step: loss and pixel gradient must agree to rounding, or the exit status
is 1. The smaller batch is equal in expectation only; what that costs is printed: the variance of its estimate of the
real class mean, beside the plain loop's, and the cosine of the pixel gradients of the two ways at the same step.

Run from the repository's root: ``python -m benchmarks.distillation [--base SPEC] [--images FOLDER]``; a base such as
``ViT-B-16`` gets random weights. Without images of your own, tissue is drawn.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from benchmarks.inputs import (
    cosine,
    decode_one,
    image_folder,
    open_base,
    open_images,
    options_parser,
    relative_difference,
)
from medforge.base import BaseModule, batches
from medforge.client.data.task import Task
from medforge.client.distill.dm import DistributionMatching
from medforge.client.distill.dsa import augment, draw
from medforge.client.distill.extractor import random_deltas
from medforge.client.distill.real import RealImages
from medforge.client.distill.start import white
from medforge.client.recipe import DistillRecipe
from medforge.seeds import generator

AGREEMENT = 1e-3
_CHUNK = 64


class Step(Protocol):
    """A step on the pixels, as `medforge.client.distill.run.Method` has it."""

    def step(self, pixels: nn.Parameter, optimiser: torch.optim.Optimizer, number: int) -> float:
        """Update the pixels; return the loss before."""
        ...


class PlainLoop:
    """Take the steps of Algorithm 1 with nothing kept; random choices are drawn as `DistributionMatching` does."""

    def __init__(self, base: BaseModule, task: Task, root: Path, recipe: DistillRecipe, seed: int) -> None:
        self.base, self.task, self.root, self.recipe, self.seed = base, task, root, recipe, seed

    def step(self, pixels: nn.Parameter, optimiser: torch.optim.Optimizer, number: int) -> float:
        """Update pixels by one step; return the loss before."""
        base, recipe, ipc = self.base, self.recipe, self.recipe.ipc
        chance = generator(self.seed, "distill", "step", number)
        chosen = RealImages(base, self.task).choose(recipe.real_batch, chance)
        deltas = random_deltas(base, recipe.extractor_rank, recipe.extractor_scale, chance)
        drawn = [draw(chance, recipe.strategy, recipe.ranges) for _ in chosen]
        loss = torch.zeros((), device=base.device)
        for label, (indices, operation) in enumerate(zip(chosen, drawn, strict=True)):
            real = torch.stack([decode_one(self.root, self.task, index) for index in indices.tolist()])
            with torch.no_grad():
                wanted = base.embed(augment(base.normalise(real).float(), operation), deltas).mean(dim=0)
            learned = pixels[label * ipc : (label + 1) * ipc]
            loss = loss + (wanted - base.embed(augment(learned, operation), deltas).mean(dim=0)).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(loss.detach())


class Measurement(NamedTuple):
    """What steps from the same pixels gave: seconds a step, losses, and the gradients of the pixels."""

    seconds: float
    losses: list[float]
    gradients: list[Tensor]


def take(method: Step, start: Tensor, count: int) -> Measurement:
    """Take `count` steps that leave the pixels where they are, so that each step's gradient can be compared."""
    pixels = nn.Parameter(start.clone())
    still = torch.optim.SGD([pixels], lr=0.0)
    losses, gradients = [], []
    started = time.perf_counter()
    for number in range(count):
        losses.append(method.step(pixels, still, number))
        assert pixels.grad is not None
        gradients.append(pixels.grad.clone())
    return Measurement((time.perf_counter() - started) / count, losses, gradients)


class Variances(NamedTuple):
    """Variance of an estimated real class mean, summed over dimensions: plain loop's batch, ours without and with g."""

    plain: float
    small: float
    corrected: float


def variances(
    base: BaseModule, task: Task, recipe: DistillRecipe, plain_batch: int, draws: int, seed: int
) -> Variances:
    """Compute the variance over batches, given extractor and operation, averaged over `draws` of these.

    Exact, from the embeddings of all images of a class: batches of k out of n are drawn without replacement, so the
    variance of their mean is (1 − k/n)/k times that of the images. Classes take turns.
    """
    of_class = task.train.by_class(len(task.prompts))
    known = [base.embed_all(base.normalise(task.train.images[indices])) for indices in of_class]
    rows = []
    for number in range(draws):
        label = number % len(of_class)
        chance = generator(seed, "benchmark", "variance", number)
        deltas = random_deltas(base, recipe.extractor_rank, recipe.extractor_scale, chance)
        operation = draw(chance, recipe.strategy, recipe.ranges)
        images = task.train.images[of_class[label]]
        parts = [augment(base.normalise(images[p]).float(), operation) for p in batches(len(images), _CHUNK)]
        found = torch.cat([base.embed_all(part.to(base.dtype), deltas) for part in parts])
        own, left = (float(e.var(dim=0).sum()) for e in (found, found - known[label]))
        small, large = (max(0.0, 1 / k - 1 / len(images)) for k in (recipe.real_batch, plain_batch))
        rows.append(Variances(own * large, own * small, left * small))
    return Variances(*(sum(column) / draws for column in zip(*rows, strict=True)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both, print times, ratio and agreement; the exit status is 1 where what is exact differs."""
    parser = options_parser(__doc__, per_class=320)
    parser.add_argument("--ipc", type=int, default=10, help="learned images per class")
    parser.add_argument("--plain-batch", type=int, default=256, help="real images per class of the plain loop")
    parser.add_argument("--real-batch", type=int, default=8, help="real images per class of ours")
    parser.add_argument("--check-batch", type=int, default=8, help="real images per class of the exact comparison")
    parser.add_argument("--plain-steps", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--draws", type=int, default=12, help="extractors and operations of the variance")
    parser.add_argument("--run", type=int, default=5000, help="steps of a whole distillation, for the ratio over all")
    parser.add_argument("--dtype", default="bf16", help="of ours: bf16 or fp32")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    with image_folder(options.images, options.per_class, options.seed) as root:
        return compare(root, options)


def compare(root: Path, options: argparse.Namespace) -> int:
    """Compare on the images below `root`."""
    exact, fast = (open_base(options.base, options.device, dtype) for dtype in ("fp32", options.dtype))
    small = DistillRecipe(ipc=options.ipc, real_batch=options.real_batch, control_variate=True)
    plain = DistillRecipe(ipc=options.ipc, real_batch=options.plain_batch)
    check = DistillRecipe(ipc=options.ipc, real_batch=options.check_batch)
    task, seed = open_images(root, exact, options.seed), options.seed
    start = white(exact, len(task.prompts) * options.ipc, 1.0, generator(seed, "distill", "noise")).to(exact.device)

    started = time.perf_counter()
    task.train.images.prepare()
    decoded = time.perf_counter()
    ours = DistributionMatching(fast, task, small, seed)
    once = time.perf_counter() - started

    by_plain = take(PlainLoop(exact, task, root, check, seed), start, 1)
    by_ours = take(DistributionMatching(exact, task, check, seed), start, 1)
    rounded = take(DistributionMatching(fast, task, check, seed), start, 1)
    loss_difference = abs(by_ours.losses[0] - by_plain.losses[0]) / by_plain.losses[0]
    difference = relative_difference(by_ours.gradients[0], by_plain.gradients[0])

    slow = take(PlainLoop(exact, task, root, plain, seed), start, options.plain_steps)
    take(ours, start, 1)
    quick = take(ours, start, options.steps)
    same = [cosine(a, b) for a, b in zip(quick.gradients, slow.gradients, strict=False)]
    spread = variances(fast, task, small, options.plain_batch, options.draws, seed)
    per_class = slow.losses[0] / len(task.prompts)

    sizes = [len(indices) for indices in task.train.by_class(len(task.prompts))]
    print(f"{options.base} at {exact.image_size} on {exact.device}, {torch.get_num_threads()} threads")
    print(f"real images per class: {sizes}; learned images per class: {options.ipc}")
    print(f"plain loop, {options.plain_batch:3d} real images per class, fp32: {1 / slow.seconds:9.4f} steps/s")
    print(
        f"ours,       {options.real_batch:3d} real images per class, {options.dtype}: {1 / quick.seconds:9.4f} steps/s"
    )
    print(f"ratio:                                         {slow.seconds / quick.seconds:9.1f} ×")
    print(
        f"ours, once: decoding {decoded - started:.1f} s, embedding for the control variate "
        f"{once - (decoded - started):.1f} s; ratio over a run of {options.run} steps: "
        f"{slow.seconds * options.run / (once + quick.seconds * options.run):.1f} ×"
    )
    print(f"exact: same {options.check_batch} images, draw and extractor in fp32")
    print(f"  loss {loss_difference:.1e}, pixel gradient {difference:.1e} apart (agreement asked: {AGREEMENT:g})")
    print(f"equal in expectation: the estimate of a real class mean, over {options.draws} extractors and operations")
    print(f"  variance of the plain loop's {options.plain_batch:3d} images:           {spread.plain:9.4f}")
    print(f"  variance of {options.real_batch:3d} images:                         {spread.small:9.4f}")
    print(f"  variance of {options.real_batch:3d} images with control variate:    {spread.corrected:9.4f}")
    print(f"  beside the squared distance it is to measure:     {per_class:9.4f}")
    print(f"pixel gradient, ours against the plain loop at the same steps: cosine {sum(same) / len(same):.5f}")
    print(f"pixel gradient, {options.dtype} against fp32 on the same images: ", end="")
    print(f"cosine {cosine(rounded.gradients[0], by_plain.gradients[0]):.5f}")
    return 0 if max(loss_difference, difference) <= AGREEMENT else 1


if __name__ == "__main__":
    sys.exit(main())
