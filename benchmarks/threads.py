"""What it costs that a fold does not depend on threads: a candidate's pass as it was, and as it is, in one run.

As it was in 0.1.0: float32, batches of 64, every operation cut among torch's threads. As it is: float64, chunks of 16
side by side, one thread an operation, outputs on a grid. Beside the ratio stands how far the outputs of the two lie
apart, and how far those of each with one thread from those with more. The exit status is 1 where the new ones differ.

Run from the repository's root: ``python -m benchmarks.threads [--base SPEC] [--images 128] [--threads 1 2]``.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter, process_time

import torch
from torch import Tensor

from medforge.base import BaseModule, batches, load_base
from medforge.seeds import generator

PROMPTS = ("benign tissue", "malignant tissue")


def as_it_was(base: BaseModule, images: Tensor, deltas: Mapping[str, Tensor]) -> Tensor:
    """Class log-probabilities as 0.1.0 computed them: float32, on as many threads as torch takes; [n, C]."""
    with torch.inference_mode():
        rows = torch.cat([base.embed(images[part], deltas) for part in batches(len(images), 64)])
    return base.logits(rows, PROMPTS).double().log_softmax(dim=1)


def as_it_is(base: BaseModule, images: Tensor, deltas: Mapping[str, Tensor]) -> Tensor:
    """Class log-probabilities as a fold computes them."""
    return base.log_probabilities(images, PROMPTS, deltas)


def timed(function: Callable[[], Tensor], repeats: int) -> tuple[float, float, Tensor]:
    """Call once to warm up, then return the best wall time, its CPU time (seconds) and the result."""
    result, best = function(), (float("inf"), 0.0)
    for _ in range(repeats):
        wall, cpu = perf_counter(), process_time()
        result = function()
        best = min(best, (perf_counter() - wall, process_time() - cpu))
    return *best, result


def main(arguments: Sequence[str] | None = None) -> int:
    """Print seconds, ratios and agreement; the exit status is 1 where threads change what a fold computes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    base, usual = load_base(options.base, "cpu"), torch.get_num_threads()
    random = generator(0, "threads")
    images = torch.randn(options.images, 3, base.image_size, base.image_size, generator=random)
    deltas = {site: 0.01 * torch.randn(base.site_shape(site), generator=random) for site in base.sites}
    firsts: list[Tensor] = []
    same = True
    for threads in options.threads:
        torch.set_num_threads(threads)
        old_wall, old_cpu, old = timed(lambda: as_it_was(base, images, deltas), options.repeats)
        new_wall, new_cpu, new = timed(lambda: as_it_is(base, images, deltas), options.repeats)
        firsts = firsts or [old, new]
        same = same and torch.equal(new, firsts[1])
        print(
            f"{threads} thread(s), {len(images)} images: was {old_wall:.3f} s ({old_cpu:.3f} CPU), is {new_wall:.3f} s "
            f"({new_cpu:.3f} CPU), ratio {new_wall / old_wall:.2f} ({new_cpu / old_cpu:.2f} CPU); they lie "
            f"{float((old - new).abs().max()):.1e} apart; from {options.threads[0]} thread(s): "
            f"{float((old - firsts[0]).abs().max()):.1e} then, {float((new - firsts[1]).abs().max()):.1e} now"
        )
    torch.set_num_threads(usual)
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
