"""Send honest small centres' branches, and attacks made of them, to a main branch: how many does it hold?

Every task is divided among small centres under every seed (see `small_centres`), three of a group. Each of them arrives
alone of its task ("new"), after the other two ("known"), and in its turn at a forge of all tasks, where it is merged by
the default method, or held for what the merge costs ("forge"). Attacks, those of `poisoning`, are made of one centre's
material in each group and arrive alone and after the other two. Policy and examination are a forge's own.

Artefacts are those of ``medforge benchmark`` with the same sources; what is missing in ``--out`` is made, which takes a
minute a centre on a core. ``--made`` looks at the groups that are there.

Run from the repository's root: ``python -m benchmarks.honest --out runs/honest [--centre NAME=SOURCE …] [--seeds 0,1,2]
[--made] [--policy admission.agreement=2 …] [--json OUT]``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.inputs import artefact_options, artefact_settings, finish
from benchmarks.poisoning.attacks.plain import PLAIN as ATTACKS
from benchmarks.poisoning.door import CHECKS, refused
from benchmarks.poisoning.material import Material
from benchmarks.small_centres import SITES, SmallCentre, SmallCentres
from medforge.aggregator.forge.policy import Policy, change
from medforge.aggregator.main_branch.examination import Examination
from medforge.aggregator.main_branch.objections import objections
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import fold_round
from medforge.aggregator.merge.method import FoldResult
from medforge.branch import Branch
from medforge.errors import MedForgeError
from medforge.simulation.benchmark.jobs.artefacts import Distil
from medforge.simulation.benchmark.jobs.store import Store

HONEST = next(iter(ATTACKS))
MAINS = ("new", "known", "forge")
__all__ = ["ATTACKS", "HONEST", "MAINS", "SITES", "main"]


@dataclass(frozen=True)
class SmallMaterial(Material):
    """Hold what an attacker has who has the images of one small centre."""

    centres: SmallCentres

    @classmethod
    def of(cls, centres: SmallCentres, centre: SmallCentre) -> SmallMaterial:
        """Return the material of a centre."""
        return cls(centres.bench(centre), centre.name, centre.seed, centres)

    @cached_property
    def honest(self) -> Branch:
        """The branch that an honest centre would push."""
        return self.centres.branch(next(one for one in self.centres if one.name == self.task))

    def other(self, classes: int) -> Material | None:
        """Return the material of a centre of another task that has so many classes, None where there is none."""
        mine = next(one.task for one in self.centres if one.name == self.task)
        for centre in self.centres:
            if centre.seed == self.seed and centre.task != mine and self.centres.made(centre):
                other = SmallMaterial.of(self.centres, centre)
                if len(other.honest.distilled.prompts) >= classes:
                    return other
        return None


class Verdict(NamedTuple):
    """Say what became of one branch at one main branch: the check that stopped it, "" for none."""

    attack: str
    task: str
    way: str
    seed: int
    centre: str
    main: str
    stopped: str


class Judge:
    """Send branches to main branches of honest small centres, under one policy."""

    def __init__(self, centres: SmallCentres, policy: Policy) -> None:
        self.centres, self.policy = centres, policy
        bench = centres.bench(centres.groups[0][0])
        self._base, self._probabilities = bench.base, bench.probabilities
        self._examination = Examination(self._base, self._probabilities, policy.admission)

    def group(self, group: Sequence[SmallCentre]) -> Iterator[Verdict]:
        """Send every centre's honest branch alone and after the others, and attacks by one of them."""
        branches = {centre: self.centres.branch(centre) for centre in group}
        for centre in group:
            others = [branches[other] for other in group if other != centre]
            yield from self._verdicts(HONEST, centre, branches[centre], others)
        attacker = group[group[0].seed % len(group)]
        others = [branches[other] for other in group if other != attacker]
        for attack in list(ATTACKS)[1:]:
            branch = attack_branch(self.centres, attacker, attack)
            if branch is not None:
                yield from self._verdicts(attack, attacker, branch, others)

    def forge(self, arrivals: Sequence[SmallCentre]) -> Iterator[Verdict]:
        """Send honest branches one after another to one forge of the default method, as its main branch folds them."""
        settings = choose_settings(seed=arrivals[0].seed)
        members: list[ArrivedBranch] = []
        last: FoldResult | None = None
        for number, centre in enumerate(arrivals, start=1):
            arrived = (*members, ArrivedBranch.of(number, self.centres.branch(centre)))
            stopped = self._examine(arrived)
            head = last.head if last else None
            if not stopped:
                folded = fold_round(self._base, settings, arrived, head, self._probabilities)
                if self._examination.merge(arrived, head, last.metrics if last else {}, folded):
                    stopped = "merge"
                else:
                    members, last = list(arrived), folded
            yield _verdict(HONEST, centre, "forge", stopped)

    def _verdicts(
        self, attack: str, centre: SmallCentre, branch: Branch, others: Sequence[Branch]
    ) -> Iterator[Verdict]:
        door = refused(branch, self._base, self.policy)
        for main, earlier in (("new", ()), ("known", others)):
            arrived = [ArrivedBranch.of(number, one) for number, one in enumerate((*earlier, branch), start=1)]
            yield _verdict(attack, centre, main, door or self._examine(arrived))

    def _examine(self, arrived: Sequence[ArrivedBranch]) -> str:
        try:
            first = next(objections(arrived, self._base, self._probabilities, self.policy.admission), None)
        except MedForgeError:
            return "refused"
        return first.check if first else ""


def attack_branch(centres: SmallCentres, centre: SmallCentre, attack: str) -> Branch | None:
    """Return the branch of an attack out of a centre's material, made once; None where it cannot be made."""
    bench = centres.bench(centre)
    honest = Distil(centre.name, centre.seed)
    label, facts = f"{centre.name}, seed {centre.seed}: {attack}", {"attack": attack, "honest": honest.facts(bench)}
    place = bench.store.place(label, facts)
    if bench.store.record(place) is None:
        _make(centres, centre, attack, place)
    return Branch.load(place / "branch") if (place / "branch").exists() else None


def _make(centres: SmallCentres, centre: SmallCentre, attack: str, place: Path) -> None:
    bench = centres.bench(centre)
    sent = ATTACKS[attack](SmallMaterial.of(centres, centre))
    if sent is not None:
        plugin, distilled = sent
        images = len(bench.task(centre.name, centre.seed).train)
        branch = Branch.build(
            plugin, distilled, contributor="attacker", task=centre.task, base=bench.base, training_images=images,
            recipe="poisoning", seed=centre.seed, validation={},
        )  # fmt: skip
        branch.save(place / "branch")
    bench.store.finish(place, {"attack": attack, "sent": sent is not None})


def _verdict(attack: str, centre: SmallCentre, main: str, stopped: str) -> Verdict:
    return Verdict(attack, centre.task, centre.way, centre.seed, centre.name, main, stopped)


def run(options: argparse.Namespace) -> None:
    """Make what is missing, send it, print, and write JSON where asked for."""
    centres = SmallCentres(artefact_settings(options), Store(options.out))
    groups = [group for group in centres.groups if not options.made or all(map(centres.made, group))]
    for centre in (centre for group in groups for centre in group):
        if not centres.made(centre):
            print(f"making {centre.name}", file=sys.stderr)
            centres.make(centre)
    judge = Judge(centres, change(Policy(), options.policy))
    verdicts: list[Verdict] = []
    for group in groups:
        print(f"sending {group[0].task} divided by {group[0].way}, seed {group[0].seed}", file=sys.stderr)
        verdicts += judge.group(group)
    for seed in sorted({group[0].seed for group in groups}):
        print(f"a forge of all, seed {seed}", file=sys.stderr)
        # every task's first centre, then every task's second
        turns = zip(*(group for group in groups if group[0].seed == seed), strict=True)
        verdicts += judge.forge([centre for turn in turns for centre in turn])
    Console(width=150).print(table(verdicts))
    if options.json:
        options.json.write_text(json.dumps([one._asdict() for one in verdicts], indent=1))


def table(verdicts: Sequence[Verdict]) -> Table:
    """Lay out a row for the honest branches of each division and for each attack: sent, held, and by which check."""
    drawn = Table("branch", "main branch", "sent", "stopped", *CHECKS)
    drawn.title = "small centres' branches, honest and poisoned, at a main branch without their task and with it"
    kinds = {one: one.attack if one.attack != HONEST else f"honest, {one.way}" for one in verdicts}
    kinds |= {one._replace(way="all"): "honest, all" for one in verdicts if one.attack == HONEST}
    for kind, main in dict.fromkeys((kind, one.main) for one, kind in kinds.items()):
        of = [one for one, found in kinds.items() if (found, one.main) == (kind, main)]
        stopped = sum(bool(one.stopped) for one in of)
        counts = [str(sum(one.stopped == check for one in of) or "–") for check in CHECKS]
        drawn.add_row(kind, main, str(len(of)), f"{stopped} ({stopped / len(of):.0%})", *counts)
    return drawn


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    artefact_options(parser)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--made", action="store_true", help="make no honest branch; leave out groups that lack one")
    parser.add_argument("--policy", action="append", default=[], help="change the policy, as in admission.agreement=3")
    parser.add_argument("--json", type=Path, help="write every verdict here")
    return finish(run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
