"""Fold the branches of the recorded forge by every method, and write what came out.

Run from the repository's root, after a change that is meant to move forge items: ``python -m tests.recorded.items``.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.catalogue import built_in, listing_of
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.processor import processor_kind
from tests.aggregator.forges import QUICK, fold_in_memory

HERE = Path(__file__).parent
RECORD = HERE / "items.json"
Ways = list[tuple[str, str, str, str]]


def ways() -> Ways:
    """Every (method, level, coefficients, objective) that MedForge brings."""
    return [
        (name, *mode, objective)
        for name in built_in()
        for mode in listing_of(name).modes
        for objective in ("cross-entropy", *(("reference",) if mode in listing_of(name).reference else ()))
    ]


def recorded_branches(directory: Path) -> list[Branch]:
    """The branches of the recorded forge, in arrival order, read from a copy of it."""
    shutil.copytree(HERE / "forge-0.1.0", directory)
    forge = Forge.open(directory)
    branches = [forge.load_branch(arrival.number) for arrival in forge.ledger.arrivals()]
    forge.close()
    return branches


def folded(base: BaseModule, branches: list[Branch], way: tuple[str, str, str, str]) -> dict[str, Any]:
    """What a forge's newest commit would record of the three branches under one way."""
    method, level, coefficients, objective = way
    settings = choose_settings(
        method=method,
        level=level,
        coefficients=coefficients,
        objective=objective,
        parameters=QUICK.get(method),
    )
    result = fold_in_memory(base, settings, branches)[-1]
    return {
        "item": result.item.digest,
        "coefficients": dict(sorted(result.coefficients.items())),
        "metrics": {task: score.model_dump() for task, score in result.metrics.items()},
    }


def main() -> None:
    """Write the record."""
    import tempfile

    import torch

    from medforge.base import load_base

    torch.set_num_threads(1)
    base = load_base("medforge-tiny", "cpu")
    with tempfile.TemporaryDirectory() as directory:
        branches = recorded_branches(Path(directory) / "forge")
    items = {"-".join(way): folded(base, branches, way) for way in ways()}
    RECORD.write_text(json.dumps({"processor": processor_kind(), "items": items}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
