"""Honest branches of other benchmark runs, as pairs of centres that have one data set, or two."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from medforge.aggregator.main_branch.origin.pictures import picture_sketch
from medforge.base_module import BaseModule
from medforge.files import parse_json
from medforge.manifest import DISTILLED_FILE
from medforge.plugin import Plugin
from medforge.tensors import parse_tensors


class Stored(NamedTuple):
    """Hold one centre's plugin, or the sketch of its images, under a seed, and what its images are a part of."""

    centre: str
    source: str
    data: str
    seed: int
    made: Plugin | Tensor


def stored(directory: Path, base: BaseModule) -> Iterator[Stored]:
    """Read the LoRAs and distilled images of the default method from a run's artefacts."""
    for record in sorted((directory / "artefacts").glob("*/record.json")):
        facts = parse_json(record.read_bytes()).get("facts", {})
        if facts.get("base") != base.fingerprint or "source" not in facts:
            continue
        about = facts["task"], facts["source"], facts["source"].partition(",by=")[0], facts["seed"]
        if facts.get("artefact") == "plugin" and facts["recipe"]["plugin"]["kind"] == "lora":
            yield Stored(*about, Plugin.load(record.parent))
        elif "dm-dsa-beside-lora" in record.parent.name:
            path = record.parent / DISTILLED_FILE
            yield Stored(*about, picture_sketch(parse_tensors(path.read_bytes(), str(path))[0]["images"], base))


def pairs(found: list[Stored]) -> Iterator[tuple[str, Stored, Stored]]:
    """Return pairs of different centres of one kind of artefact, each with how they are related."""
    for one, other in combinations(found, 2):
        if one.source != other.source and isinstance(one.made, torch.Tensor) is isinstance(other.made, torch.Tensor):
            seeds = "the same seed" if one.seed == other.seed else "another seed"
            yield f"small centres, {'one data set' if one.data == other.data else 'other data'}, {seeds}", one, other
