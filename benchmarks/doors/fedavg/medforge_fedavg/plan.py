"""What a run is to do, read alike by the server and by every node; and the plugin as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from flwr.app import Array, ArrayRecord

from medforge.client.begin import begin_work
from medforge.client.data.catalogue import names
from medforge.client.train import Training
from medforge.client.work import Work
from medforge.simulation.centres import Centre, parse_centres

Value = str | int | float | bool


@dataclass(frozen=True)
class Plan:
    """Hold where a run writes, its centres, and how each of them trains."""

    out: Path
    centres: tuple[Centre, ...]
    base: str
    recipe: str
    changes: tuple[str, ...]
    seed: int
    rounds: int

    @classmethod
    def read(cls, config: Mapping[str, Value]) -> Plan:
        """Read a run configuration."""
        return cls(
            out=Path(str(config["out"])).absolute(),
            centres=parse_centres(str(config["centres"]).split(), names()),
            base=str(config["base"]),
            recipe=str(config["recipe"]),
            changes=tuple(str(config["changes"]).split()),
            seed=int(config["seed"]),
            rounds=int(config["rounds"]),
        )

    def work(self, centre: Centre) -> Work:
        """Open a centre's workspace, with the splits that a branch of the same seed is made from."""
        given = {"source": centre.source, "task": centre.task, "base": self.base, "seed": self.seed}
        return begin_work(self.out / "centres" / centre.name, given, self.recipe, self.changes)

    def training(self, centre: Centre) -> Training:
        """Return a centre's training at its very beginning; with one seed every centre begins with the same factors."""
        torch.set_num_threads(1)
        work = self.work(centre)
        return Training(work.base, work.task, work.recipe.train, self.seed)


def arrays_of(training: Training) -> ArrayRecord:
    """Return the plugin's parameters as Flower's arrays."""
    return ArrayRecord({name: Array(p.detach().cpu().numpy().copy()) for name, p in training.parameters.items()})


def put(arrays: ArrayRecord, training: Training) -> None:
    """Let a training go on from these parameters."""
    with torch.no_grad():
        for name, parameter in training.parameters.items():
            parameter.copy_(torch.from_numpy(arrays[name].numpy()))
