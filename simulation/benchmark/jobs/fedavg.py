"""The job of federated averaging: the plugin in rounds that every centre attends, the epochs that it trains alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from medforge.adapt import extract
from medforge.client.evaluate import score_plugin
from medforge.client.train import Training
from medforge.plugin import Plugin, PluginKind
from medforge.progress import Progress
from medforge.simulation.benchmark.jobs.artefacts import TrainedArtefact
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts


class Round(NamedTuple):
    """Record one round: accuracy of the averaged plugin on the validation images of all centres together."""

    round: int
    acc: float


@dataclass(frozen=True)
class FedAvg(TrainedArtefact):
    """Train one plugin at all centres of a task in rounds (McMahan et al. 2017), one local epoch each.

    Every round each centre trains for an epoch from the average so far, and the factors are averaged, weighted by
    training images, as Flower's FedAvg does it. There are as many rounds as a centre alone has epochs, and the rate
    follows the same schedule; a centre keeps its own optimiser's moments. The best round on validation counts.
    """

    centres: tuple[str, ...]
    kind: PluginKind = "lora"

    sort = "federated averaging"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{self.task}, seed {self.seed}: FedAvg of {self.kind} over {' '.join(self.centres)}"

    def facts(self, bench: Bench) -> Facts:
        """Add the training recipe and every centre's images."""
        return {
            "artefact": "plugin of federated averaging",
            "recipe": bench.recipe(self.kind).train.model_dump(mode="json"),
            "centres": [bench.facts(name, self.seed) for name in self.centres],
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Run every round, save the plugin of the best one, and count what travels."""
        recipe = bench.recipe(self.kind).train
        tasks = [bench.task(name, self.seed) for name in self.centres]
        sites = [Training(bench.base, task, recipe, self.seed) for task in tasks]
        rounds = min(site.epochs for site in sites)
        best: tuple[Round, Plugin] | None = None
        history = []
        with Progress("averaging", rounds * sum(site.steps for site in sites), file=self.progress(bench)) as bar:
            for number in range(1, rounds + 1):
                average(sites, bar)
                plugin = extract(sites[0].model, bench.base, recipe.plugin)
                right = [
                    score_plugin(plugin, bench.base, task, "validation").acc * len(task.validation) for task in tasks
                ]
                history.append(Round(number, sum(right) / sum(len(task.validation) for task in tasks)))
                if best is None or history[-1].acc > best[0].acc:
                    best = history[-1], plugin
        assert best is not None
        best[1].save(place)
        # down and up, every round and centre
        travelled = 2 * rounds * len(sites) * sum(map(len, best[1].files().values()))
        return {
            "digest": best[1].digest,
            "best": best[0]._asdict(),
            "rounds": [one._asdict() for one in history],
            "bytes": travelled,
        }


def average(sites: Sequence[Training], bar: Progress) -> None:
    """Train an epoch at every site from what all of them hold, and give all of them the average."""
    sums: list[NDArray[np.float32]] = []
    for site in sites:
        site.run_epoch(bar)
        share = [parameter.detach().cpu().numpy() * len(site.task.train) for parameter in site.parameters.values()]
        sums = [np.add(so_far, new) for so_far, new in zip(sums, share, strict=True)] if sums else share
    images = sum(len(site.task.train) for site in sites)
    averaged = [torch.from_numpy(total / images) for total in sums]
    with torch.no_grad():
        for site in sites:
            for parameter, value in zip(site.parameters.values(), averaged, strict=True):
                parameter.copy_(value)
