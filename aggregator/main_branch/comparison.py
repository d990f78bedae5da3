"""Compare a rebuilt forge item with the recorded one: to the byte on the same kind of processor, else by tolerance."""

from collections.abc import Mapping
from importlib.metadata import version

import torch
from torch import Tensor

from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.merge.catalogue import provider
from medforge.aggregator.merge.method import FoldResult
from medforge.aggregator.merge.settings import MethodSettings
from medforge.files import parse_json, sha256_bytes
from medforge.manifest import software_versions
from medforge.processor import processor_kind
from medforge.tensors import parse_tensors

# of a coefficient, absolute; of a tensor, its distance as a share of its norm
COEFFICIENTS = 1e-3
TENSORS = 1e-3
# of a loss in nats, as a share of it where it is more than 1; 0.1.0 scored in float32
SCORES = 1e-2


def software_of(settings: MethodSettings) -> dict[str, str]:
    """Return the versions of what a fold under these settings depends on."""
    libraries = {name: version(name) for name in ("nevergrad", "scipy")}
    return software_versions() | libraries | provider(settings.method)


def other_circumstances(commit: Commit) -> str:
    """Say why a commit cannot be rebuilt to the byte here; empty where it must be."""
    if not commit.processor:
        return "made by a version that did not record its processor, and depended on its threads"
    if commit.processor != processor_kind():
        return "made on another kind of processor"
    here = software_of(commit.method)
    changed = sorted(name for name in here | commit.software if here.get(name) != commit.software.get(name))
    return f"made with another version of {', '.join(changed)}" if changed else ""


def difference(commit: Commit, folded: FoldResult) -> str:
    """Say what differs by a byte; empty where nothing does."""
    files = {path: sha256_bytes(data) for path, data in folded.item.files().items()}
    if _coefficients_due(commit, folded) != commit.coefficients:
        return "its coefficients differ"
    wrong = sorted(path for path in files | commit.item_files if files.get(path) != commit.item_files.get(path))
    if wrong:
        return f"{', '.join(wrong)} differ"
    return "" if folded.item.digest == commit.item else "its forge item has another digest"


def far_coefficients(commit: Commit, folded: FoldResult) -> str:
    """Say which coefficient is further than the tolerance from the recorded one; empty where none is."""
    due = _coefficients_due(commit, folded)
    if due.keys() != commit.coefficients.keys():
        return "its coefficients are of other branches"
    gaps = {branch: abs(value - commit.coefficients[branch]) for branch, value in due.items()}
    worst = max(sorted(gaps), key=lambda branch: gaps[branch], default="")
    if gaps.get(worst, 0.0) <= COEFFICIENTS:
        return ""
    return f"the coefficient of branch {worst[:12]} differs by {gaps[worst]:.2g}, more than {COEFFICIENTS:g}"


def far_scores(commit: Commit, scores: Mapping[str, TaskScore]) -> str:
    """Say which task the stored forge item scores otherwise than the commit records; empty where it does none."""
    if scores.keys() != commit.metrics.keys():
        return "it was scored on other tasks"
    for task, score in commit.metrics.items():
        if abs(scores[task].loss - score.loss) > SCORES * max(1.0, score.loss):
            return (
                f"its forge item has a loss of {scores[task].loss:.4f} on task {task!r}, where the commit says "
                f"{score.loss:.4f}"
            )
    return ""


def far_files(stored: Mapping[str, bytes], rebuilt: Mapping[str, bytes]) -> str:
    """Say which file of the forge item is further than the tolerance from the stored one; empty where none is.

    Tensors are compared by their distance, numbers of a card (JSON) as coefficients are, the rest must be equal.
    """
    if stored.keys() != rebuilt.keys():
        return f"{', '.join(sorted(stored.keys() ^ rebuilt.keys()))} differ"
    for path in sorted(stored):
        if stored[path] == rebuilt[path]:
            continue
        if not path.endswith(".safetensors"):
            if not _near(parse_json(stored[path]), parse_json(rebuilt[path])):
                return f"{path} differs"
        else:
            one, _ = parse_tensors(stored[path], path)
            other, _ = parse_tensors(rebuilt[path], path)
            if one.keys() != other.keys() or any(_far(one[name], other[name]) for name in one):
                return f"{path} differs by more than {TENSORS:g} of its norm"
    return ""


def _coefficients_due(commit: Commit, folded: FoldResult) -> Mapping[str, float]:
    # until format 3 a commit said them also where the item's cards do
    return folded.coefficients if commit.format == 2 else folded.recorded


def _near(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_near(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_near, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= COEFFICIENTS
    return one == other


def _far(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return True
    distance = torch.linalg.vector_norm(one.double() - other.double())
    return not bool(distance <= TENSORS * torch.linalg.vector_norm(one.double()))
