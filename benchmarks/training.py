"""Time plugin training against a plain PEFT loop, on the same model and the same images.

The plain loop is what public scripts do: everything in fp32, every image of a batch opened and decoded from its file,
and the class prompts encoded again at every step. MedForge decodes once, encodes the prompts once, and keeps the frozen
weights in bf16 and the plugin in fp32.

In fp32 both take the same steps from the same start: losses and plugin must agree to rounding, or the exit status is 1.
What bf16 changes is printed.

Run from the repository's root: ``python -m benchmarks.training [--base SPEC] [--images FOLDER]``; a base such as
``ViT-B-16`` gets random weights. Without images of your own, tissue is drawn.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.inputs import decode_one, image_folder, open_base, open_images, options_parser, relative_difference
from medforge.adapt import adapt
from medforge.base import BaseModule
from medforge.client.augment import mirror
from medforge.client.data.task import Task
from medforge.client.fit import fit_step, learning_rate, make_optimiser, seeded, trainable
from medforge.client.recipe import TrainRecipe
from medforge.client.recipes import recipe_for
from medforge.seeds import derive, generator

AGREEMENT = 1e-3


class Measurement(NamedTuple):
    """What a number of steps gave: images per second, the loss of each step, and how far the plugin moved."""

    speed: float
    losses: list[float]
    moved: Tensor


class Loop:
    """Train a fresh plugin for some steps with everything kept that can be, as `medforge train` does."""

    def __init__(self, base: BaseModule, task: Task, recipe: TrainRecipe, seed: int) -> None:
        self.base, self.task, self.recipe, self.seed = base, task, recipe, seed

    def run(self, steps: int) -> Measurement:
        """Take `steps` steps from the seed's fresh plugin; the first one is not timed."""
        recipe, chance = self.recipe, generator(self.seed, "benchmark", "order")
        model = adapt(self.base, recipe.plugin, derive(self.seed, "train", "plugin"))
        model.train()
        parameters = list(trainable(model).values())
        before = [parameter.detach().clone() for parameter in parameters]
        optimiser = make_optimiser(parameters, recipe)
        losses, started = [], 0.0
        with seeded(self.seed, "train", "dropout"):
            for step in range(steps + 1):
                if step == 1:
                    started = time.perf_counter()
                chosen = torch.randperm(len(self.task.train), generator=chance)[: recipe.batch]
                images = mirror(self.images(chosen), recipe.augment, chance)
                lr = learning_rate(recipe, step, steps + 1)
                losses.append(self.step(model, optimiser, images, self.task.train.labels[chosen], lr))
        speed = steps * min(recipe.batch, len(self.task.train)) / (time.perf_counter() - started)
        moved = [(now.detach() - then).flatten() for now, then in zip(parameters, before, strict=True)]
        return Measurement(speed, losses, torch.cat(moved))

    def images(self, chosen: Tensor) -> Tensor:
        """Return a batch of normalised images."""
        return self.base.normalise(self.task.train.images[chosen])

    def step(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, images: Tensor, labels: Tensor, lr: float
    ) -> float:
        """Take one step; return the loss before it."""
        return fit_step(model, self.base, optimiser, images, labels, self.task.prompts, self.recipe, lr)


class PlainLoop(Loop):
    """Train the same plugin with nothing kept."""

    def __init__(self, base: BaseModule, task: Task, recipe: TrainRecipe, seed: int, root: Path) -> None:
        super().__init__(base, task, recipe, seed)
        self.root = root

    def images(self, chosen: Tensor) -> Tensor:
        """Decode every image of the batch from its file."""
        decoded = [decode_one(self.root, self.task, index) for index in chosen.tolist()]
        return self.base.normalise(torch.stack(decoded))

    def step(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, images: Tensor, labels: Tensor, lr: float
    ) -> float:
        """Encode images and prompts, and take one step of the optimiser."""
        # the base module keeps what it has encoded, and the plain loop does not
        self.base._prompt_features.clear()
        prompts = self.base.prompt_features(self.task.prompts)
        features = F.normalize(model(images), dim=-1)
        loss = F.cross_entropy(self.base.logit_scale * features @ prompts.T, labels.to(features.device))
        for group in optimiser.param_groups:
            group["lr"] = lr
        optimiser.zero_grad()
        loss.backward()
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(trainable(model).values(), self.recipe.clip)
        optimiser.step()
        return float(loss.detach())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the loops, print images per second, ratios and agreement; the exit status is 1 where fp32 differs."""
    parser = options_parser(__doc__, per_class=64)
    parser.add_argument("--batch", type=int, help="images per step; default: the recipe's")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    with image_folder(options.images, options.per_class, options.seed) as root:
        return compare(root, options)


def compare(root: Path, options: argparse.Namespace) -> int:
    """Compare on the images below `root`."""
    exact, fast = (open_base(options.base, options.device, dtype) for dtype in ("fp32", "bf16"))
    recipe = recipe_for(options.base).train
    recipe = recipe if options.batch is None else recipe.model_copy(update={"batch": options.batch})
    task, seed, steps = open_images(root, exact, options.seed), options.seed, options.steps
    started = time.perf_counter()
    task.train.images.prepare()
    decoded = time.perf_counter() - started

    plain = PlainLoop(exact, task, recipe, seed, root).run(steps)
    kept = Loop(exact, task, recipe, seed).run(steps)
    rounded = Loop(fast, task, recipe, seed).run(steps)
    differences = [abs(a - b) / b for a, b in zip(kept.losses, plain.losses, strict=True)]
    differences.append(relative_difference(kept.moved, plain.moved))
    changed = max(abs(a - b) for a, b in zip(rounded.losses, plain.losses, strict=True))

    print(f"{options.base} at {exact.image_size} on {exact.device}, {torch.get_num_threads()} threads")
    print(f"{len(task.train)} training images, batches of {recipe.batch}, {recipe.plugin.kind}, {steps} steps")
    print(f"plain PEFT loop, fp32: {plain.speed:8.2f} images/s")
    print(f"ours, fp32:            {kept.speed:8.2f} images/s {kept.speed / plain.speed:8.2f} ×")
    print(f"ours, bf16:            {rounded.speed:8.2f} images/s {rounded.speed / plain.speed:8.2f} ×")
    print(f"ours decodes the images once, in {decoded:.1f} s")
    print("exact: the same steps in fp32; relative difference of the losses")
    print(
        f"  {max(differences[:-1]):.1e}, of the plugin's change {differences[-1]:.1e} (agreement asked: {AGREEMENT:g})"
    )
    print(f"bf16: loss {plain.losses[-1]:.4f} becomes {rounded.losses[-1]:.4f}, largest difference {changed:.1e};")
    print(f"  relative difference of the plugin's change {relative_difference(rounded.moved, plain.moved):.1e}")
    return 0 if max(differences) <= AGREEMENT else 1


if __name__ == "__main__":
    sys.exit(main())
