"""Time Med-LEGO's merge against the plain one: the dense mean of the weight changes, and its SVD.

The plain merge is Med-LEGO's formula as it stands: at every site, form each plugin's ΔW = B E A [d, d], average, and
call `torch.linalg.svd`, in float32 or in float64. MedForge stacks the factors, decomposes both stacks (QR), and takes
the SVD of the small core, in float64. Both keep the same share of the singular values' sum. The merged weight changes
must agree with the float64 ones to 10⁻⁶ of their norm at every site, at the same ranks, or the exit status is 1.

Then what an arrival costs an aggregator that holds N branches, scoring left out: all N plugins are read from their
stored bytes, merged, and the result is written to bytes. It keeps no running sum, so that neither the order of arrival
nor a withdrawal leaves a trace in the last bit.

Run from the repository's root: ``python -m benchmarks.med_lego [--ranks 4 16] [--plugins 7] [--arrivals 7 50]``. Times
are CPU seconds of one thread, the median of ``--repeats`` runs. Plugins are drawn; the sites are the query and value
projections of a ViT-B/16: 24 of 768×768.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from medforge.low_rank import rank_by_energy, svd_of_sum
from medforge.plugin import Factors, Plugin, PluginSettings
from medforge.seeds import generator
from medforge.svd_plugin import ENERGY, svd_plugin

AGREEMENT = 1e-6
FINGERPRINT = "0" * 64
Result = TypeVar("Result")


def draw_plugin(sites: int, side: int, rank: int, number: int) -> Plugin:
    """Draw an SVD-LoRA whose factors are nearly orthonormal and whose diagonal falls, as training leaves them."""
    random = generator(0, "benchmark", "med-lego", rank, number)
    factors = {}
    for site in range(sites):
        up, down = (torch.randn(side, rank, generator=random) / side**0.5 for _ in range(2))
        diagonal = torch.randn(rank, generator=random) * torch.linspace(1, 0.2, rank)
        factors[f"blocks.{site // 2}.attn.{'qv'[site % 2]}_proj"] = Factors(down.T.contiguous(), up, diagonal=diagonal)
    return Plugin(PluginSettings(kind="svd-lora", rank=rank, alpha=float(rank)), FINGERPRINT, factors)


def merge(plugins: list[Plugin]) -> Plugin:
    """Merge as the method ``med-lego`` does."""
    weights = [1 / len(plugins)] * len(plugins)
    pairs = {site: [plugin.low_rank(site) for plugin in plugins] for site in plugins[0].sites}
    triples = ((site, svd_of_sum([pair for pair in of if pair is not None], weights)) for site, of in pairs.items())
    return svd_plugin(triples, FINGERPRINT)


def merge_dense(plugins: list[Plugin], dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Merge by the dense mean: B̂ [d, k], Ê [k] and Â [k, d] of every site."""
    merged = {}
    for site in plugins[0].sites:
        mean = torch.zeros(plugins[0].factors[site].up.shape[0], plugins[0].factors[site].down.shape[1], dtype=dtype)
        for plugin in plugins:
            part = plugin.factors[site]
            assert part.diagonal is not None
            mean += (part.up.to(dtype) * part.diagonal.to(dtype)) @ part.down.to(dtype)
        left, values, right = torch.linalg.svd(mean / len(plugins), full_matrices=False)
        rank = rank_by_energy(values, ENERGY)
        merged[site] = left[:, :rank], values[:rank], right[:rank]
    return merged


def timed(work: Callable[[], Result], repeats: int) -> tuple[float, Result]:
    """Return the median CPU seconds of some runs, and what the last gave."""
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        result = work()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds), result


def difference(found: Plugin, wanted: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> float:
    """Return the largest ‖found − wanted‖ / ‖wanted‖ over the sites, infinite where a rank differs."""
    worst = 0.0
    for site, (left, values, right) in wanted.items():
        part = found.factors[site]
        if part.diagonal is None or len(part.diagonal) != len(values):
            return float("inf")
        dense = left.double() * values.double() @ right.double()
        change = part.up.double() * part.diagonal.double() @ part.down.double()
        worst = max(worst, float((change - dense).norm() / dense.norm()))
    return worst


def arrival(stored: list[dict[str, bytes]]) -> dict[str, bytes]:
    """Read every plugin, merge, and write the result."""
    return merge([Plugin.parse(files) for files in stored]).files()


def main(arguments: Sequence[str] | None = None) -> int:
    """Time both merges and one arrival, print ratios and agreement; the exit status is 1 where they do not agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--plugins", type=int, default=7)
    parser.add_argument("--arrivals", type=int, nargs="+", default=[7, 50])
    parser.add_argument("--sites", type=int, default=24)
    parser.add_argument("--side", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    drawn = {
        rank: [
            draw_plugin(options.sites, options.side, rank, n) for n in range(max(options.plugins, *options.arrivals))
        ]
        for rank in options.ranks
    }
    merge(drawn[options.ranks[0]][:2])
    print(f"{options.sites} sites of {options.side}×{options.side}, one thread, CPU seconds")
    agreed = True
    for rank in options.ranks:
        plugins = drawn[rank][: options.plugins]
        ours, merged = timed(lambda p=plugins: merge(p), 3 * options.repeats)  # type: ignore[misc]
        single, rounded = timed(lambda p=plugins: merge_dense(p, torch.float32), options.repeats)  # type: ignore[misc]
        double, exact = timed(lambda p=plugins: merge_dense(p, torch.float64), options.repeats)  # type: ignore[misc]
        off = difference(merged, exact)
        agreed = agreed and off <= AGREEMENT
        print(f"{len(plugins)} plugins of rank {rank}, merged at mean rank {mean_rank(merged):.1f}:")
        print(f"  dense mean and SVD, float64: {double:8.3f} s")
        print(f"  dense mean and SVD, float32: {single:8.3f} s, differs from float64 by {distance(rounded, exact):.1e}")
        print(f"  ours:                        {ours:8.3f} s: {double / ours:.0f}× and {single / ours:.0f}×, ", end="")
        print(f"differs from float64 by {off:.1e} (agreement asked: {AGREEMENT:g})")
        for count in options.arrivals:
            stored = [plugin.files() for plugin in drawn[rank][:count]]
            seconds, files = timed(lambda s=stored: arrival(s), options.repeats)  # type: ignore[misc]
            size = sum(map(len, files.values())) / 1e6
            print(f"  an arrival where {count} are merged: {seconds:.3f} s, a result of {size:.1f} MB")
    return 0 if agreed else 1


def mean_rank(plugin: Plugin) -> float:
    """Average the rank over sites."""
    return statistics.mean(plugin.settings.rank_at(site) for site in plugin.sites)


def distance(
    found: Mapping[str, tuple[Tensor, Tensor, Tensor]], wanted: Mapping[str, tuple[Tensor, Tensor, Tensor]]
) -> float:
    """Return the largest ‖found − wanted‖ / ‖wanted‖ over the sites."""
    dense = {
        site: [left.double() * values.double() @ right.double() for left, values, right in (found[site], wanted[site])]
        for site in wanted
    }
    return max(float((one - other).norm() / other.norm()) for one, other in dense.values())


if __name__ == "__main__":
    sys.exit(main())
