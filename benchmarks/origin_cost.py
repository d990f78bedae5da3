"""What it costs to compare an arrival at the origin gate with all earlier ones, beside walking over them.

Sketches are drawn: everybody's own weights, and smooth images that have something in common within a dataset; every
tenth arrival is another's copy with noise, in weights or in images. The last few arrivals are compared with all before
them both ways, in turn: as the gate does, and by walking over all. Printed are median CPU times and their ratio, the
bytes of resident memory that an arrival takes in either, and whether the same arrivals were found alike in the same
order; exit status 1 where they were not. Plugins that both would read are left out of both.

Run from the repository's root: ``python -m benchmarks.origin_cost [--arrivals 1000 10000] [--images 4 100]
[--json OUT]``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.origin_by_walking import Remembered, alike_by_walking
from benchmarks.uploads import resident
from medforge.aggregator.forge.policy import OriginPolicy
from medforge.aggregator.ledger.records import Origin
from medforge.aggregator.main_branch.freed_memory import give_back
from medforge.aggregator.main_branch.origin.comparison import alike_arrivals
from medforge.aggregator.main_branch.origin.decision import Alike
from medforge.aggregator.main_branch.origin.known import Known
from medforge.aggregator.main_branch.origin.pictures import SIDE
from medforge.aggregator.main_branch.origin.weights import (
    PROJECTIONS,
    WeightLikeness,
    sketched_products,
    weight_likeness,
)
from medforge.determinism import one_thread
from medforge.layouts import layouts
from medforge.seeds import generator
from medforge.tensors import dump_tensors, parse_tensors

_COPIES = 10
_NOISE, _IMAGE_NOISE = 0.1, 0.005
_DETAIL = 6

Comparison = Callable[[int], list[Alike]]


def drawn(number: int, sites: int, images: int) -> tuple[Tensor, Tensor]:
    """Draw the sketches of the weights and of the images of a number's arrival."""
    random = generator(0, "benchmark", "origin", number)
    weights = torch.randn(sites, PROJECTIONS, generator=random)
    common, own = (torch.randn(count, 3, _DETAIL, _DETAIL, generator=random) for count in (1, images))
    pictures = F.interpolate(common / 2 + own, size=2 * SIDE, mode="bilinear")
    if number % _COPIES == 0 and number > _COPIES:
        # the copy's is another's every other time, with noise
        copied_weights, copied_pictures = drawn(number // 2 + 1, sites, images)
        if number // _COPIES % 2:
            return copied_weights + _NOISE * weights, layouts(pictures, SIDE).half()
        noise = _IMAGE_NOISE * torch.randn(copied_pictures.shape, generator=random)
        return weights, F.normalize(copied_pictures.float() + noise, dim=1).half()
    return weights, layouts(pictures, SIDE).half()


def arrivals(count: int, sites: int, images: int) -> Iterator[Remembered]:
    """Make what is remembered of as many arrivals, as it is read from a ledger."""
    for number in range(1, count + 1):
        plugin, distilled = (sha256(f"{number} {what}".encode()).hexdigest() for what in ("plugin", "distilled"))
        origin = Origin(number, f"site {number % 997}", plugin, distilled, b"", None)
        kept = [
            parse_tensors(dump_tensors({"values": values}), "a sketch")[0]["values"]
            for values in drawn(number, sites, images)
        ]
        yield Remembered(origin, kept[0], kept[1])


def in_blocks(known: Known, policy: OriginPolicy) -> Comparison:
    """Compare as the gate does, a sketch in place of a plugin."""
    return lambda place: alike_arrivals(known, place, policy, partial(_sketched, known.weights.of, policy, place))


def walking(known: Sequence[Remembered], policy: OriginPolicy) -> Comparison:
    """Compare by walking over all."""

    def sketches(places: Sequence[int]) -> Tensor:
        return torch.stack([known[place].weights for place in places])

    return lambda place: alike_by_walking(known, place, policy, partial(_sketched, sketches, policy, place))


def _sketched(
    sketches: Callable[[Sequence[int]], Tensor], policy: OriginPolicy, place: int, near: Sequence[int]
) -> dict[int, WeightLikeness]:
    grams = sketched_products(sketches([place])[0], sketches(near))
    return {one: weight_likeness(gram, policy.weights, policy.begun) for one, gram in zip(near, grams, strict=True)}


def measure(count: int, images: int, options: argparse.Namespace) -> dict[str, object]:
    """Remember as many arrivals both ways, and compare the last few."""
    policy = OriginPolicy()
    # what drawing itself leaves in memory is no arrival's
    list(arrivals(_COPIES + 1, options.sites, images))
    before = _memory()
    known = Known()
    for one in arrivals(count, options.sites, images):
        known.add(*one)
    between = _memory()
    held = list(arrivals(count, options.sites, images))
    after = _memory()
    seconds: dict[str, list[float]] = {"gate": [], "walking": []}
    same, alike = True, 0
    for place in range(count - min(options.compared, count), count):
        (gate, due), (walked, found) = timed(in_blocks(known, policy), place), timed(walking(held, policy), place)
        seconds["gate"].append(gate)
        seconds["walking"].append(walked)
        same &= found == due
        alike += len(found)
    cost, walked = (median(seconds[way]) for way in ("gate", "walking"))
    return {
        "arrivals": count,
        "images": images,
        "CPU seconds": {"gate": round(cost, 5), "walking": round(walked, 5)},
        "ratio": round(walked / cost, 2),
        "bytes an arrival": {"gate": (between - before) // count, "walking": (after - between) // count},
        "found alike": alike,
        "the same": same,
    }


def timed(compare: Comparison, place: int) -> tuple[float, list[Alike]]:
    """Compare an arrival on one thread; return the CPU seconds and what is alike."""
    with one_thread():
        begun = time.process_time()
        found = compare(place)
        return time.process_time() - begun, found


def _memory() -> int:
    gc.collect()
    give_back()
    return resident(os.getpid(), "VmRSS")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arrivals", type=int, nargs="+", default=[1000, 10000], help="how many there are")
    parser.add_argument("--images", type=int, nargs="+", default=[4, 100], help="images that each has")
    parser.add_argument("--sites", type=int, default=9, help="layers that plugins change")
    parser.add_argument("--compared", type=int, default=11, help="arrivals that a median is of")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args(arguments)
    rows = [measure(count, images, options) for images in options.images for count in options.arrivals]
    for row in rows:
        print(", ".join(f"{name}: {value}" for name, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(row["the same"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
