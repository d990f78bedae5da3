"""Make forges with random branches in them, or fold random branches without one."""

from collections.abc import Sequence
from pathlib import Path

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Admission, Policy
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import MethodSettings, built_in, choose_settings, listing_of
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import fold_round
from medforge.aggregator.merge.method import FoldResult
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.plugin import PluginKind
from tests.making import make_branch

Mode = tuple[str, str, str]
LISTINGS = {name: listing_of(name) for name in built_in()}
MODES: tuple[Mode, ...] = tuple((name, *mode) for name, listing in LISTINGS.items() for mode in listing.modes)
BUDGET = 12
# parameters under which a method that trains takes a moment
QUICK = {"student": {"steps": 3, "rank": 2, "mixtures": 32}, "adamerging": {"steps": 2}}
# random plugins classify nothing, which an examination would notice
UNEXAMINED = Policy(admission=Admission(behaviour=False))


def settings_of(method: str, level: str, coefficients: str, budget: int = BUDGET) -> MethodSettings:
    return choose_settings(
        method=method, level=level, coefficients=coefficients, budget=budget, parameters=QUICK.get(method)
    )


def branches(base: BaseModule, count: int = 3, kind: PluginKind = "lora", ipc: int = 2) -> list[Branch]:
    return [
        make_branch(base, seed, task=f"task {seed}", contributor=f"centre {seed}", kind=kind, ipc=ipc)
        for seed in range(count)
    ]


def open_main(directory: Path, base: BaseModule, settings: MethodSettings, ledger_url: str | None = None) -> MainBranch:
    return MainBranch(Forge.establish(directory, base, settings, ledger_url, policy=UNEXAMINED), base)


def fold_all(main: MainBranch, arriving: Sequence[Branch]) -> None:
    for branch in arriving:
        main.fold(main.forge.admit(branch, main.base).number)


def smuggle(forge: Forge, branch: Branch) -> None:
    """Make a branch an arrival that admission would refuse, as an earlier version or a looser policy may have."""
    for data in (*branch.blobs().values(), branch.manifest.to_bytes()):
        forge.blobs.put(data)
    forge.ledger.add_arrival(branch.digest, branch.manifest.contributor, branch.manifest.task, 1)


def fold_in_memory(
    base: BaseModule, settings: MethodSettings, arriving: Sequence[Branch], cache: ProbabilityCache | None = None
) -> list[FoldResult]:
    """What every round gives, one after another."""
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(arriving, start=1)]
    rounds: list[FoldResult] = []
    for count in range(1, len(arrived) + 1):
        head = rounds[-1].head if rounds else None
        rounds.append(fold_round(base, settings, arrived[:count], head, cache or ProbabilityCache(base, None)))
    return rounds
