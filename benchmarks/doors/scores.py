"""Accuracy of a model on the centres' test splits, in the words of the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from benchmarks.doors.material import Material
from medforge.aggregator.forge.forge import Forge
from medforge.plugin import Plugin
from medforge.simulation.result import Score

ScoreFunction = Callable[[str, Sequence[str] | None], Score]


class Scored(NamedTuple):
    """Hold accuracies by centre, among its own prompts and among all; and a digest of the model's bytes."""

    own: dict[str, float]
    union: dict[str, float]
    digest: str

    @property
    def means(self) -> tuple[float, float]:
        """The means over centres."""
        return fmean(self.own.values()), fmean(self.union.values())


def score_plugin(material: Material, plugin: Plugin) -> Scored:
    """Score one plugin everywhere."""
    return _scored(
        material, lambda name, prompts: material.evaluator.score_plugin(name, plugin, prompts), plugin.digest
    )


class Head(NamedTuple):
    """Hold a forge's newest model, the bytes of what each centre sent, and those that a centre fetches of the model."""

    scored: Scored
    sent: float
    fetched: int
    contributors: tuple[str, ...]


def score_head(material: Material, forge_directory: Path, known: Mapping[str, Scored]) -> Head:
    """Score a forge's newest commit everywhere, unless a model of the same bytes is among the scored ones."""
    forge = Forge.open(forge_directory)
    try:
        head = forge.ledger.head()
        assert head is not None, f"{forge_directory} has no commit"
        item = forge.load_item(head)
        arrivals = forge.ledger.arrivals()
        fetched = sum(len(forge.blobs.read(digest)) for digest in set(head.item_files.values()))
        digest = _digest(head.item_files)
        scored = known.get(digest) or _scored(
            material, lambda name, prompts: material.evaluator.score_item(name, item, prompts), digest
        )
        return Head(scored, fmean(one.size for one in arrivals), fetched, tuple(one.contributor for one in arrivals))
    finally:
        forge.close()


def _digest(files: dict[str, str]) -> str:
    # the same members in another order have another commit, and the same files where the method is free of order
    return "+".join(sorted(digest[:12] for digest in files.values()))


def _scored(material: Material, score: ScoreFunction, digest: str) -> Scored:
    names = [centre.name for centre in material.centres]
    own = {name: score(name, None).acc for name in names}
    return Scored(own, {name: score(name, material.union).acc for name in names}, digest)
