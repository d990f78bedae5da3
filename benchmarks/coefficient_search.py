"""Time the coefficient search of Mixture against the plain loop, on the same inputs.

The plain loop is the published procedure taken literally: for every candidate pair of coefficients, every plugin sees
every distilled image again, and the class prompts are encoded again. MedForge asks each plugin about each image once.
Both search with the same optimiser, budget and objective, so they must find the same coefficients.

Run from the repository's root: ``python -m benchmarks.coefficient_search [--base SPEC] [--plugins 3] [--ipc 10]``.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from math import inf

import torch
from torch.nn import functional as F

from medforge.aggregator.coefficients.objective import penalty
from medforge.aggregator.coefficients.sequential import compose, normalise, search_pair
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import fold_round
from medforge.aggregator.merge.method import FoldResult
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base import BaseModule, load_base
from medforge.branch import Branch
from medforge.determinism import on_grid
from medforge.distilled import DistilledDataset
from medforge.mixing import FLOOR
from medforge.plugin import Factors, Plugin, PluginSettings
from medforge.seeds import derive, generator

AGREEMENT = 1e-6
SETTINGS = choose_settings(method="mixture", level="output", coefficients="sequential")


def random_branch(base: BaseModule, number: int, ipc: int, rank: int, seed: int) -> Branch:
    """Make a branch with a random plugin and random distilled images of two classes that the plugin tells apart."""
    random = generator(seed, "branch", number)
    factors = {
        site: Factors(
            down=0.1 * torch.randn(rank, base.site_shape(site)[1], generator=random),
            up=0.1 * torch.randn(base.site_shape(site)[0], rank, generator=random),
        )
        for site in base.sites
    }
    plugin = Plugin(PluginSettings(rank=rank, alpha=float(rank)), base.fingerprint, factors)
    prompts = (f"benign tissue of organ {number}", f"malignant tissue of organ {number}")
    candidates = torch.randn(6 * ipc, 3, base.image_size, base.image_size, generator=random).half()
    outputs = base.logits(base.embed_all(candidates, plugin.deltas(base)), prompts).cpu()
    # the images that the plugin is surest about, so that it knows its own task as a trained plugin would
    ranking = (outputs[:, 1] - outputs[:, 0]).argsort()
    images = torch.cat([candidates[ranking[:ipc]], candidates[ranking[-ipc:]]])
    distilled = DistilledDataset(images, torch.arange(2).repeat_interleave(ipc), prompts)
    return Branch.build(
        plugin,
        distilled,
        contributor=f"centre {number}",
        task=f"organ {number}",
        base=base,
        training_images=1,
        recipe="random",
        seed=seed,
        validation={},
    )


def cached_search(base: BaseModule, branches: Sequence[Branch], seed: int) -> tuple[list[dict[str, float]], int]:
    """Fold the branches as a forge does; gives the coefficients after every round, and the image forwards it took."""
    cache = ProbabilityCache(base, None)
    settings = SETTINGS.model_copy(update={"seed": seed})
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(branches, start=1)]
    rounds: list[FoldResult] = []
    for count in range(1, len(branches) + 1):
        rounds.append(fold_round(base, settings, arrived[:count], rounds[-1].head if rounds else None, cache))
    return [folded.coefficients for folded in rounds], cache.image_forwards


def plain_search(base: BaseModule, branches: Sequence[Branch], seed: int) -> tuple[list[dict[str, float]], int]:
    """Search with nothing kept: every candidate, every plugin, every image, prompts encoded every time."""
    rounds = [{branches[0].digest: 1.0}]
    forwards = 0
    for number in range(2, len(branches) + 1):
        loop = PlainLoop(base, branches[:number], rounds[-1])
        pair = normalise(search_pair(loop.objective, SETTINGS, derive(seed, "merge", number))) or (1.0, 0.0)
        rounds.append(loop.coefficients(pair))
        forwards += loop.forwards
    return rounds, forwards


class PlainLoop:
    """Compute the objective of one merge round from scratch for every candidate."""

    def __init__(self, base: BaseModule, arrived: Sequence[Branch], previous: dict[str, float]) -> None:
        self.base, self.arrived, self.previous = base, arrived, previous
        self.forwards = 0

    def coefficients(self, pair: tuple[float, float]) -> dict[str, float]:
        """Return the coefficient of every plugin."""
        return compose(self.previous, self.arrived[-1].digest, pair)

    def objective(self, w: float, w_arriving: float) -> float:
        """Return the mean cross-entropy over the datasets, and the penalty."""
        pair = normalise((w, w_arriving))
        if pair is None:
            return inf
        coefficients = self.coefficients(pair)
        losses = [self._loss(on, coefficients) for on in self.arrived]
        return sum(losses) / len(losses) + penalty(pair, SETTINGS.l1)

    def _loss(self, on: Branch, coefficients: dict[str, float]) -> float:
        base, dataset = self.base, on.distilled
        # the base module keeps what it has encoded, and the plain loop does not
        base._prompt_features.clear()
        mixed = torch.zeros(len(dataset), len(dataset.prompts), dtype=torch.float64)
        for of in self.arrived:
            self.forwards += len(dataset)
            outputs = base.log_probabilities(dataset.images, dataset.prompts, of.plugin.deltas(base))
            mixed += coefficients[of.digest] * outputs.exp().float().cpu().double()
        mixed = mixed.clamp_min(FLOOR)
        return float(F.nll_loss(on_grid((mixed / mixed.sum(dim=1, keepdim=True)).log()), dataset.labels))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both, print times, ratio and agreement; the exit status is 1 where they disagree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="medforge-tiny", help="base module")
    parser.add_argument("--plugins", type=int, default=3, help="how many branches arrive")
    parser.add_argument("--ipc", type=int, default=10, help="distilled images per class")
    parser.add_argument("--rank", type=int, default=16, help="rank of the plugins")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    base = load_base(options.base, options.device)
    branches = [random_branch(base, n, options.ipc, options.rank, options.seed) for n in range(1, options.plugins + 1)]
    # neither side pays for the import of the optimiser or for the first call of a kernel
    search_pair(lambda w, v: w * w + v * v, SETTINGS, 0)
    base.embed_all(branches[0].distilled.images, branches[0].plugin.deltas(base))

    started = time.perf_counter()
    cached, cached_forwards = cached_search(base, branches, options.seed)
    between = time.perf_counter()
    plain, plain_forwards = plain_search(base, branches, options.seed)
    ended = time.perf_counter()

    difference = max(abs(a[key] - b[key]) for a, b in zip(cached, plain, strict=True) for key in b)
    fast, slow = between - started, ended - between
    print(f"{options.plugins} plugins, {2 * options.ipc} distilled images each, {options.base} on {base.device}")
    print(f"cached probabilities: {fast:9.3f} s   {cached_forwards:8d} image forwards")
    print(f"plain loop:           {slow:9.3f} s   {plain_forwards:8d} image forwards")
    print(f"ratio:                {slow / fast:9.1f} ×")
    print(f"largest difference of a coefficient: {difference:.2e} (agreement asked: {AGREEMENT:g})")
    return 0 if difference <= AGREEMENT else 1


if __name__ == "__main__":
    sys.exit(main())
