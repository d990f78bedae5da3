"""Send honest small centres' branches, and attacks made of them, to a main branch: how many does it hold?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.poisoning import ATTACKS, Material, TrainOnExchanged
from benchmarks.small_centres import SmallCentre, SmallCentres
from medforge.branch import Branch
from medforge.simulation.benchmark.jobs.artefacts import Distil


@dataclass(frozen=True)
class SmallMaterial(Material):
    """Hold what an attacker has who has the images of one small centre."""

    centres: SmallCentres

    @classmethod
    def of(cls, centres: SmallCentres, centre: SmallCentre) -> SmallMaterial:
        """Return the material of a centre."""
        return cls(centres.bench(centre), centre.name, centre.seed, centres)

    def other(self, classes: int) -> Material | None:
        """Return the material of a centre of another task that has so many classes, None where there is none."""
        for centre in self.centres:
            if centre.seed == self.seed and centre.task != self.task.split(".")[0]:
                other = SmallMaterial.of(self.centres, centre)
                if len(other.bench.task(centre.name, centre.seed).prompts) >= classes:
                    return other
        return None


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
    bench, trained = centres.bench(centre), TrainOnExchanged(centre.name, centre.seed)
    if attack.endswith("and in training") and not trained.done(bench):
        trained.run(bench)
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
