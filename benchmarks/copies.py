"""Which copies does a forge find, and are the closest honest neighbours ever taken for copies?

Every centre's plugin and distilled images, as ``medforge benchmark`` makes them, are copied with growing changes, and
compared with what they are copies of as a forge compares an arrival: by weight changes, and by layouts of images. So
are honest pairs that are closest: two centres of one task, under the same seed and others; two versions of one centre;
centres that went on training from one merged model, or from one centre's plugin, beside each other and beside those in
the model, as they say in their manifests (and as if they did not); and the small centres of ``--beside``, the directory
of `honest`, say.

What is missing in ``--out`` is made: half a minute a centre on a core. Run from the repository's root:
``python -m benchmarks.copies --out runs/copies --centre lung=lc25000-lung:DIR --divide lung=4:look … [--seeds 0,1,2]
[--policy origin.weights=0.8 …] [--json OUT]``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.inputs import artefact_options, artefact_settings, finish
from benchmarks.stored_neighbours import pairs, stored
from medforge.aggregator.forge.policy import OriginPolicy, Policy, change
from medforge.aggregator.main_branch.origin.picture_blocks import found_shares
from medforge.aggregator.main_branch.origin.pictures import picture_sketch
from medforge.aggregator.main_branch.origin.weights import products, weight_likeness
from medforge.base_module import BaseModule
from medforge.client.train import train
from medforge.layouts import turned
from medforge.low_rank import svd_of_sum
from medforge.plugin import Factors, Plugin, PluginSettings
from medforge.seeds import generator
from medforge.simulation.benchmark.jobs.artefacts import Distil, Train, keep
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.svd_plugin import svd_plugin

NOISE = (0.1, 0.2, 0.3, 0.5, 1.0)
IMAGE_NOISE = (0.1, 0.3, 0.5, 0.7, 1.0)
RANKS = (12, 8, 4, 2, 1)
SCALES = (0.5, 2.0)


class Site(NamedTuple):
    """Name a centre under a seed."""

    task: str
    name: str
    seed: int


class Pair(NamedTuple):
    """Say how alike two branches of a kind are: shares of weight change and images, and the cosine over all layers."""

    kind: str
    weights: float | None
    cosine: float | None
    images: float | None


@dataclass(frozen=True)
class Copies:
    """Compare copies and honest neighbours of some centres as a forge of a policy does."""

    bench: Bench
    policy: OriginPolicy

    @cached_property
    def sites(self) -> list[Site]:
        """All centres under all seeds."""
        settings = self.bench.settings
        return [Site(settings.task_of(name), name, seed) for seed in settings.seeds for name in settings.names]

    @cached_property
    def plugins(self) -> dict[Site, Plugin]:
        """Everybody's plugin."""
        make(self.bench, *(Train(site.name, site.seed) for site in self.sites))
        return {site: Train(site.name, site.seed).plugin(self.bench) for site in self.sites}

    @cached_property
    def images(self) -> dict[Site, Tensor]:
        """Everybody's distilled images."""
        make(self.bench, *(Distil(site.name, site.seed) for site in self.sites))
        return {site: Distil(site.name, site.seed).dataset(self.bench).images for site in self.sites}

    def honest(self) -> Iterator[Pair]:
        """Compare honest pairs."""
        sketches = {site: picture_sketch(images, self.bench.base) for site, images in self.images.items()}
        for one, other in combinations(self.sites, 2):
            pair = self._compared(_relation(one, other), self.plugins[one], self.plugins[other])
            yield pair._replace(images=found_shares(sketches[one], [sketches[other]], self.policy.images)[0])
        for seed in self.bench.settings.seeds:
            for task in sorted({site.task for site in self.sites}):
                yield from self._begun([site for site in self.sites if (site.task, site.seed) == (task, seed)])

    def beside(self, directory: Path) -> Iterator[Pair]:
        """Compare honest centres of another run."""
        for kind, one, other in pairs(list(stored(directory, self.bench.base))):
            if isinstance(one.made, Plugin) and isinstance(other.made, Plugin):
                yield self._compared(kind, one.made, other.made)
            elif isinstance(one.made, Tensor) and isinstance(other.made, Tensor):
                yield Pair(kind, None, None, found_shares(one.made, [other.made], self.policy.images)[0])

    def copied(self) -> Iterator[Pair]:
        """Compare copies with their originals, each under the change that was made."""
        base = self.bench.base
        for site in self.sites:
            plugin, stranger = self.plugins[site], self.plugins[self._stranger(site)]
            for kind, copy in plugin_copies(plugin, stranger, base, site.seed):
                yield self._compared(f"plugin: {kind}", copy, plugin)
            sketch = picture_sketch(self.images[site], base)
            for kind, images in image_copies(self.images[site].float(), self.images[self._stranger(site)], site.seed):
                share = found_shares(picture_sketch(images, base), [sketch], self.policy.images)[0]
                yield Pair(f"images: {kind}", None, None, share)

    def held(self, pair: Pair) -> bool:
        """Say whether a forge would hold the later of a pair."""
        return any(share is not None and share >= self.policy.share for share in (pair.weights, pair.images))

    def _compared(self, kind: str, *plugins: Plugin) -> Pair:
        found = weight_likeness(products(plugins, self.bench.base), self.policy.weights, self.policy.begun)
        return Pair(kind, found.share, found.cosine, None)

    def _stranger(self, site: Site) -> Site:
        """Return another centre of the same task and seed."""
        return next(one for one in self.sites if one != site and (one.task, one.seed) == (site.task, site.seed))

    def _begun(self, group: Sequence[Site]) -> Iterator[Pair]:
        """Compare two centres of a group that went on from one model, with each other and with who is in it."""
        mean = mean_of([self.plugins[site] for site in group], self.bench.base)
        for what, start, inside in (("the mean", mean, group), ("one's plugin", self.plugins[group[0]], group[:1])):
            begun = [begin(self.bench, site, start, what) for site in group[1:3]]
            beside = [(one, self.plugins[site]) for one in begun for site in inside]
            for one, other in [(begun[0], begun[1]), *beside]:
                yield self._compared(f"begun from {what}, declared", one, other, start)
                yield self._compared(f"begun from {what}, not said", one, other)


def make(bench: Bench, *jobs: Train | Distil) -> None:
    """Run the jobs that are not done."""
    for job in jobs:
        if not job.done(bench):
            job.run(bench)


def mean_of(plugins: Sequence[Plugin], base: BaseModule) -> Plugin:
    """Return the mean weight change of LoRAs as one plugin."""
    pairs = {site: [pair for one in plugins if (pair := one.low_rank(site)) is not None] for site in base.sites}
    equal = [1 / len(plugins)] * len(plugins)
    return svd_plugin(((site, svd_of_sum(of, equal)) for site, of in pairs.items()), base.fingerprint)


def begin(bench: Bench, site: Site, start: Plugin, what: str) -> Plugin:
    """Train a centre's plugin from another, once."""
    facts = {"begun": start.digest, **Train(site.name, site.seed).facts(bench)}
    place = bench.store.place(f"{site.name}, seed {site.seed}: begun from {what}", facts)
    if bench.store.record(place) is None:
        task = bench.task(site.name, site.seed)
        trained = train(bench.base, task, bench.recipe("lora").train, site.seed, place, start=start)
        bench.store.finish(place, {"facts": facts, **keep(trained, place)})
    return Plugin.load(place)


def plugin_copies(plugin: Plugin, stranger: Plugin, base: BaseModule, seed: int) -> Iterator[tuple[str, Plugin]]:
    """Copy a LoRA under growing changes; ``stranger`` is the copier's own."""
    random = generator(seed, "benchmark", "copies", "plugin")
    yield "re-factored", refactored(plugin, random)
    for times in SCALES:
        yield f"times {times:g}", scaled(plugin, times)
    for ratio in NOISE:
        yield f"noise {ratio:g}", summed(plugin, noise_like(plugin, ratio, random))
    for rank in RANKS:
        triples = ((site, svd_of_sum([_pair(plugin, site)], [1.0]).first(rank)) for site in base.sites)
        yield f"rank {rank} of {plugin.settings.rank}", svd_plugin(triples, base.fingerprint, energy=1.0)
    order = torch.randperm(len(base.sites), generator=random).tolist()
    for count in (3 * len(order) // 4, len(order) // 2, len(order) // 4):
        kept = {base.sites[place] for place in order[:count]}
        factors = {site: (plugin if site in kept else stranger).factors[site] for site in base.sites}
        yield f"{count} of {len(order)} layers, the others the copier's", replace(plugin, factors=factors)
    for share in (0.3, 0.5):
        yield f"mixed with {share:.0%} of the copier's", summed(scaled(plugin, 1 - share), scaled(stranger, share))


def image_copies(images: Tensor, strangers: Tensor, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Copy distilled images under growing changes; ``strangers`` are the copier's own."""
    random = generator(seed, "benchmark", "copies", "images")
    for ratio in IMAGE_NOISE:
        yield f"noise {ratio:g}", images + ratio * images.std() * torch.randn(images.shape, generator=random)
    way = 1 + int(torch.randint(7, (1,), generator=random))
    yield "turned or mirrored", turned(images)[way]
    yield "brighter, less contrast", 0.6 * images + 0.5
    yield "every other, reordered", images[torch.randperm(len(images), generator=random)[: len(images) // 2]]
    yield "a third among the copier's", torch.cat([images[::3], strangers.float()])


def refactored(plugin: Plugin, random: torch.Generator) -> Plugin:
    """Write the same weight change in other factors, (BR, R⁻¹A)."""
    factors = {}
    for site, of in plugin.factors.items():
        mix = torch.randn(of.down.shape[0], of.down.shape[0], generator=random, dtype=torch.float64)
        down, up = torch.linalg.solve(mix, of.down.double()), of.up.double() @ mix
        factors[site] = Factors(down.float(), up.float())
    return replace(plugin, factors=factors)


def scaled(plugin: Plugin, times: float) -> Plugin:
    """Multiply a weight change."""
    return replace(plugin, factors={site: replace(of, up=times * of.up) for site, of in plugin.factors.items()})


def noise_like(plugin: Plugin, ratio: float, random: torch.Generator) -> Plugin:
    """Draw a weight change whose norm at every layer is ``ratio`` times that of a plugin."""
    factors = {}
    for site, of in plugin.factors.items():
        up, down = (torch.randn(part.shape, generator=random) for part in (of.up, of.down))
        factors[site] = Factors(down, up * ratio * (of.up @ of.down).norm() / (up @ down).norm())
    return replace(plugin, factors=factors)


def summed(one: Plugin, other: Plugin) -> Plugin:
    """Add two weight changes as a LoRA of both ranks."""
    rank = one.settings.rank + other.settings.rank
    factors = {}
    for site in one.factors:
        (up, down), (more_up, more_down) = _pair(one, site), _pair(other, site)
        factors[site] = Factors(torch.cat([down, more_down]), torch.cat([up, more_up], dim=1))
    return Plugin(PluginSettings(kind="lora", rank=rank, alpha=rank, dropout=0), one.base_fingerprint, factors)


def _pair(plugin: Plugin, site: str) -> tuple[Tensor, Tensor]:
    pair = plugin.low_rank(site)
    assert pair is not None, "these copies are of LoRAs"
    return pair


def _relation(one: Site, other: Site) -> str:
    seeds = "the same seed" if one.seed == other.seed else "another seed"
    if one.name == other.name:
        return f"one centre, {seeds}"
    return f"{'one task' if one.task == other.task else 'other tasks'}, {seeds}"


def summary(pairs: Sequence[Pair], held: Callable[[Pair], bool]) -> dict[str, dict[str, float | int | None]]:
    """Return by kind how many pairs there are, how many are held, and the largest, least and mean values."""
    kinds: dict[str, list[Pair]] = {}
    for pair in pairs:
        kinds.setdefault(pair.kind, []).append(pair)
    return {kind: _numbers(of, held) for kind, of in kinds.items()}


def _numbers(pairs: Sequence[Pair], held: Callable[[Pair], bool]) -> dict[str, float | int | None]:
    numbers: dict[str, float | int | None] = {"pairs": len(pairs), "held": sum(map(held, pairs))}
    for name in ("weights", "cosine", "images"):
        values = [value for pair in pairs if (value := getattr(pair, name)) is not None]
        for what, of in (("least", min), ("mean", fmean), ("most", max)):
            numbers[f"{name} {what}"] = round(of(values), 3) if values else None
    return numbers


def report(options: argparse.Namespace) -> None:
    """Measure, print a line for each kind, and write the numbers."""
    policy = change(Policy(), options.policy).origin
    compared = Copies(Bench(artefact_settings(options), Store(options.out)), policy)
    found: Mapping[str, dict[str, dict[str, float | int | None]]] = {
        "honest": summary(
            [*compared.honest(), *(p for of in options.beside for p in compared.beside(of))], compared.held
        ),
        "copies": summary(list(compared.copied()), compared.held),
    }
    for side, kinds in found.items():
        for kind, numbers in kinds.items():
            said = ", ".join(f"{name} {value}" for name, value in numbers.items() if value is not None)
            print(f"{side}: {kind}: {said}")
    if options.json:
        content = {"policy": policy.model_dump(mode="json"), "seeds": options.seeds, **found}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    artefact_options(parser)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--beside", type=Path, action="append", default=[], help="another run's directory, as honest")
    parser.add_argument("--policy", action="append", default=[], help="as of `medforge serve`")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    return finish(report, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
