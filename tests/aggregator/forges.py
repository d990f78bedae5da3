"""Make forges with random branches in them."""

from collections.abc import Sequence
from pathlib import Path

from medforge.aggregator.forge import Forge
from medforge.aggregator.main_branch import MainBranch
from medforge.aggregator.merge import MethodSettings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from tests.making import make_branch

MODES = (
    ("fusion", "layer", "sequential"),
    ("mixture", "output", "sequential"),
    ("mixture", "output", "joint"),
    ("mixture", "output", "gated"),
    ("mixture", "layer", "sequential"),
    ("mixture", "layer", "joint"),
)
BUDGET = 12


def settings_of(method: str, level: str, coefficients: str, budget: int = BUDGET) -> MethodSettings:
    return MethodSettings.of(method=method, level=level, coefficients=coefficients, budget=budget)


def branches(base: BaseModule, count: int = 3) -> list[Branch]:
    return [make_branch(base, seed, task=f"task {seed}", contributor=f"centre {seed}") for seed in range(count)]


def open_main(directory: Path, base: BaseModule, settings: MethodSettings) -> MainBranch:
    return MainBranch(Forge.establish(directory, base, settings), base)


def fold_all(main: MainBranch, arriving: Sequence[Branch]) -> None:
    for branch in arriving:
        main.fold(main.forge.admit(branch, main.base).number)
