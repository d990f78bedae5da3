"""The job that compares how sure a model is with how often it is right, before and after the sites' temperatures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from medforge.branch import Branch
from medforge.simulation.benchmark.heads.calibration import over_tasks
from medforge.simulation.benchmark.jobs.artefacts import GatherFacts, Train
from medforge.simulation.benchmark.jobs.job import Job, StoredArtefact
from medforge.simulation.benchmark.jobs.merges import Folding, Merge
from medforge.simulation.benchmark.jobs.methods import Merger
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.results.tasks import Reliability
from medforge.simulation.outputs import Outputs

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Calibrate(StoredArtefact):
    """Measure each task's own plugin among its own prompts, or a merged model among its own and among all prompts."""

    seed: int
    tasks: tuple[str, ...]
    merger: Merger | None = None

    sort = "calibration"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"seed {self.seed}: calibration of {self.merger.label if self.merger else 'own plugins'}"

    @property
    def needs(self) -> tuple[Job, ...]:
        """What every site says of itself."""
        return tuple(GatherFacts(task, self.seed) for task in self.tasks)

    def facts(self, bench: Bench) -> Facts:
        """Name the tasks and the merge."""
        return {
            "artefact": "calibration",
            "tasks": [GatherFacts(task, self.seed).facts(bench) for task in self.tasks],
            "method": self.merger.settings(self.seed).model_dump(mode="json") if self.merger else None,
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Measure."""
        found = {
            f"{among}/{when}": over_tasks(
                [o.logits.double().log_softmax(dim=1) for o in parts], [o.labels for o in parts]
            )
            for (among, when), parts in self._outputs(bench)
        }
        return {"reliability": {name: one.model_dump(mode="json") for name, one in found.items()}}

    def found(self, bench: Bench, among: str) -> tuple[Reliability, Reliability]:
        """Read what was measured among ``own`` or ``union`` prompts, before and after."""
        stored = self.record(bench)["reliability"]
        before, after = (Reliability.model_validate(stored[f"{among}/{when}"]) for when in (BEFORE, AFTER))
        return before, after

    def _outputs(self, bench: Bench) -> Iterator[tuple[tuple[str, str], list[Outputs]]]:
        evaluator = bench.evaluator(self.seed)
        if self.merger is None:
            plain = [evaluator.plugin_outputs(t, Train(t, self.seed).plugin(bench)) for t in self.tasks]
            yield ("own", BEFORE), plain
            yield ("own", AFTER), [self._cooled(bench, t, o) for t, o in zip(self.tasks, plain, strict=True)]
            return
        job = Merge(self.merger, self.seed, (self.tasks,))
        for when, change in ((BEFORE, without_temperature), (AFTER, unchanged)):
            item, _ = Folding(bench, job, change).item(self.tasks)
            for among, prompts in (("own", None), ("union", bench.union)):
                yield (among, when), [evaluator.item_outputs(task, item, prompts) for task in self.tasks]
            evaluator.forget(item)

    def _cooled(self, bench: Bench, task: str, outputs: Outputs) -> Outputs:
        temperature = GatherFacts(task, self.seed).found(bench).temperature
        assert temperature is not None, "a site's temperature is measured"
        cooled: Tensor = outputs.logits / temperature
        return replace(outputs, logits=cooled)


def unchanged(branch: Branch) -> Branch:
    """Return the branch as it is."""
    return branch


def without_temperature(branch: Branch) -> Branch:
    """Return the branch of a site that says nothing of how sure its plugin may be."""
    return replace(branch, manifest=branch.manifest.model_copy(update={"temperature": None}))
