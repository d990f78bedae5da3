"""The merge methods that the experiments compare, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from medforge.aggregator.merge import MethodSettings, choose_settings
from medforge.aggregator.merge.catalogue import listing_of, names
from medforge.aggregator.merge.settings import SITES
from medforge.simulation.benchmark.results.rows import Group


@dataclass(frozen=True)
class Merger:
    """Name one way to merge. ``options`` are `MethodSettings`; ``raw`` searches on raw training images instead of S.

    Without ``statistics``, branches come from sites that send no class statistics. What is ``headed`` is one network,
    which is kept, for heads are fitted on it too.
    """

    key: str
    label: str
    group: Group
    options: tuple[tuple[str, str], ...]
    raw: bool = False
    statistics: bool = True
    headed: bool = False

    def settings(self, seed: int) -> MethodSettings:
        """Return the merge settings under a seed."""
        options: dict[str, Any] = dict(self.options)
        return choose_settings(**options, seed=seed)


def _merger(key: str, label: str, group: Group, raw: bool = False, **options: str) -> Merger:
    return Merger(key, label, group, tuple(sorted(options.items())), raw)


_BASELINE: Group = "baseline"
_FREE: Group = "training-free"
_OURS: Group = "ours and the paper's"
_REFERENCE: Group = "reference objective"
_SINGLE: Group = "one network"

MODEL_SOUP = _merger("model-soup", "ModelSoup (mean of ΔW)", _BASELINE, method="model-soup")
FACTOR_AVERAGE = _merger("factor-average", "LoRA averaging (mean of factors)", _BASELINE, method="factor-average")
MED_LEGO = _merger("med-lego", "Med-LEGO", _FREE, method="med-lego")
TRAINING_FREE = (
    MED_LEGO,
    _merger("model-soup", "ModelSoup (mean of ΔW)", _FREE, method="model-soup"),
    _merger("factor-average", "LoRA averaging (mean of factors)", _FREE, method="factor-average"),
    _merger("task-arithmetic", "Task Arithmetic", _FREE, method="task-arithmetic"),
    _merger("ties", "TIES-Merging", _FREE, method="ties"),
    _merger("dare", "DARE, Task Arithmetic", _FREE, method="dare"),
    _merger("pem", "PEM composition", _FREE, method="pem"),
    _merger("magmax", "MagMax", _FREE, method="magmax"),
)
LORAHUB_RAW = _merger("lorahub-raw", "LoRAHub w/o distill", _BASELINE, raw=True, method="lorahub")
LORAHUB = _merger("lorahub", "LoRAHub w/ distill", _BASELINE, method="lorahub")
FUSION = _merger("fusion", "MedForge-Fusion", _OURS, method="fusion")
SEQUENTIAL = _merger(
    "mixture-sequential", "MedForge-Mixture, sequential", _OURS,
    method="mixture", level="output", coefficients="sequential",
)  # fmt: skip
JOINT = _merger("mixture-joint", "Mixture, joint", _OURS, method="mixture", level="output", coefficients="joint")
GATED = _merger("mixture-gated", "Mixture, gated", _OURS, method="mixture", level="output", coefficients="gated")
LAYER_SEQUENTIAL = _merger(
    "mixture-layer-sequential", "Mixture in the layers, sequential", _OURS,
    method="mixture", level="layer", coefficients="sequential",
)  # fmt: skip
LAYER_JOINT = _merger(
    "mixture-layer-joint", "Mixture in the layers, joint", _OURS, method="mixture", level="layer", coefficients="joint"
)
FUSION_REFERENCE = _merger(
    "fusion-reference", "Fusion, reference objective", _REFERENCE, method="fusion", objective="reference"
)
SEQUENTIAL_REFERENCE = _merger(
    "mixture-sequential-reference", "Mixture, sequential, reference objective", _REFERENCE,
    method="mixture", level="output", coefficients="sequential", objective="reference",
)  # fmt: skip


_ROUTED = _merger("routed", "Routed: router and experts", _OURS, method="routed")
_BY_IMAGES = (
    _merger("mean", "Mean of ΔW by images", _FREE, method="model-soup", weights="images"),
    _merger("ties-by-images", "TIES-Merging by images", _FREE, method="ties", weights="images"),
)
_EXPERTS = {SITES: "the site it looks like", "ties": "TIES", "regmean++": "RegMean++", "student": "the student"}
_KNOWN = (
    _ROUTED,
    replace(_ROUTED, key="routed-distilled", label="Routed, sites send no class statistics", statistics=False),
    GATED,
    replace(_merger("student", "Student", _SINGLE, method="student"), headed=True),
    replace(_merger("regmean++", "RegMean++", _SINGLE, method="regmean++"), headed=True),
    _merger("regmean", "RegMean", _SINGLE, method="regmean"),
    _merger("adamerging", "AdaMerging", _SINGLE, method="adamerging"),
    _merger("tsv-m", "TSV-M", _FREE, method="tsv-m"),
    _merger("knots-ties", "KnOTS in front of TIES", _FREE, method="knots-ties"),
    _merger("core-space-ties", "Core Space in front of TIES", _FREE, method="core-space-ties"),
    FUSION,
    LORAHUB,
    SEQUENTIAL,
    *TRAINING_FREE,
)


def every_merge(only: Sequence[str] = ()) -> tuple[Merger, ...]:
    """Return every way to merge that can be asked for: those known here, then any other method, with its defaults.

    With ``only``, those of the methods of these names. Raises InvalidInput for a method that there is not.
    """
    for name in only:
        listing_of(name)
    found = dict.fromkeys(dict(merger.options)["method"] for merger in available(*_KNOWN))
    others = [_merger(name, name, _SINGLE, method=name) for name in names() if name not in found]
    every = (*available(*_KNOWN), *others)
    return tuple(merger for merger in every if not only or dict(merger.options)["method"] in only)


def within_a_task(only: Sequence[str] = ()) -> tuple[Merger, ...]:
    """Return ways to merge that differ from the others only among branches of one task.

    They are those that weigh branches by their images, and the routed merge with other rules inside a task than its
    default; with ``only``, those of the methods of these names.
    """
    routes = (
        _merger(f"routed-{name}", f"Routed, expert by {label}", _OURS, method="routed", expert=name)
        for name, label in _EXPERTS.items()
        if name == SITES or name in names()
    )
    return tuple(one for one in available(*_BY_IMAGES, *routes) if not only or dict(one.options)["method"] in only)


def routed() -> tuple[Merger, ...]:
    """Return the default merge, where this version has it."""
    return available(_ROUTED)


def available(*mergers: Merger) -> tuple[Merger, ...]:
    """Keep the ways to merge whose method can be asked for."""
    known = names()
    return tuple(merger for merger in mergers if dict(merger.options)["method"] in known)
