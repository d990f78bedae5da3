"""Time RegMean++ against a plain loop in float32, on the same branches.

The plain loop is the method taken literally: for every layer, all images of every branch run through the whole merged
network, a forward hook keeps every row that reaches the layer, and the normal equations are solved in float32. MedForge
stops each pass at its layer, adds Gram matrices up chunk by chunk, and computes in float64, so that threads and
processors do not show in the result. The weight changes must agree to 1 % of their norm, or the exit status is 1.

Then what one step of the student costs, in steps a second of this machine's one thread.

Run from the repository's root: ``python -m benchmarks.regmean [--base SPEC] [--plugins 4] [--ipc 10] [--json OUT]``.
Times are CPU seconds of one thread; memory is the largest number of bytes that kept rows or Gram matrices take.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.func import functional_call

from benchmarks.coefficient_search import random_branch
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.gram import in_order
from medforge.aggregator.merge.methods.regmean_plus_plus import regmean_plus_plus
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.student.lessons import prepare
from medforge.aggregator.merge.student.recipe import STUDENT
from medforge.aggregator.merge.student.training import Student
from medforge.aggregator.merge.uniform import Weighed
from medforge.base import BaseModule, load_base
from medforge.branch import Branch

AGREEMENT = 0.01
SETTINGS = choose_settings(method="regmean++")
Result = TypeVar("Result")


def plain(base: BaseModule, branches: Sequence[Branch]) -> tuple[dict[str, Tensor], int]:
    """Merge by the literal loop in float32; gives the weight changes and the bytes of the rows kept at a time."""
    merged: dict[str, Tensor] = {}
    most = 0
    for site in (site for layer in in_order(base.sites) for site in layer):
        left = right = torch.zeros(())
        for branch in branches:
            rows = _rows(base, branch.distilled.images.float(), merged, site)
            most = max(most, rows.numel() * rows.element_size())
            gram = rows.T @ rows / len(rows)
            gram = gram + SETTINGS.parameters["ridge"] * gram.diagonal().mean() * torch.eye(len(gram))
            left, right = left + gram, right + branch.plugin.delta(site, base) @ gram
        # the sites of a layer do not feed each other, so each may be changed at once
        merged[site] = torch.linalg.solve(left, right, left=False)
    return merged, most


def _rows(base: BaseModule, images: Tensor, changes: Mapping[str, Tensor], site: str) -> Tensor:
    kept: list[Tensor] = []
    hook = base.visual.get_submodule(site).register_forward_hook(
        lambda _layer, given, _out: kept.append(given[0].flatten(0, -2))
    )
    weights = {f"{name}.weight": base.weight(name) + change for name, change in changes.items()}
    with torch.inference_mode():
        functional_call(base.visual, weights, (images,))
    hook.remove()
    return kept[0].clone()


def main(words: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--plugins", type=int, default=4)
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5, help="steps of the student that are timed")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    base = load_base(asked.base, "cpu")
    branches = [random_branch(base, number, asked.ipc, asked.rank, 0) for number in range(asked.plugins)]
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(branches, start=1)]
    found, merged = _timed(lambda: regmean_plus_plus([Weighed(one, 1.0) for one in arrived], base, SETTINGS))
    loop, (wanted, rows) = _timed(lambda: plain(base, branches))
    apart = max(float((merged[site] - change).norm() / change.norm()) for site, change in wanted.items())
    grams = max(sum(base.site_shape(site)[1] ** 2 * 8 for site in layer) for layer in in_order(base.sites))
    recipe = STUDENT
    lessons = [prepare(base, one, recipe, 0, ProbabilityCache(base, None)) for one in arrived]
    student = Student(base, {site: change.float() for site, change in merged.items()}, lessons, recipe, 0)
    trained, _ = _timed(lambda: [student.advance() for _ in range(asked.steps)])
    result = {
        "regmean++ in float64, CPU s": found,
        "plain loop in float32, CPU s": loop,
        "ratio": loop / found,
        "largest difference, share of the norm": apart,
        "bytes of Gram matrices a chunk": grams,
        "bytes of rows kept by the plain loop": rows,
        "student, CPU s a step": trained / asked.steps,
    }
    for name, value in result.items():
        print(f"{name}: {value:.4g}")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if apart <= AGREEMENT else 1


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


if __name__ == "__main__":
    sys.exit(main())
