"""What the report shows of the centres' images, laid out while others still compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.branch import Branch
from medforge.client.distill.snapshots import snapshots
from medforge.client.workspace import Workspace
from medforge.errors import MedForgeError
from medforge.simulation.scoring import Scoring
from medforge.simulation.settings import SimulationSettings

if TYPE_CHECKING:
    from medforge.simulation.material import ReportMaterial, TaskMaterial


class Gathering:
    """Lay out the images of each centre that is shown, and score its own plugin, once its branch is committed.

    What is found does not depend on when the steps are taken.
    """

    def __init__(self, settings: SimulationSettings, scoring: Scoring, workspace: Callable[[str], Path]) -> None:
        self._settings = settings
        self._scoring = scoring
        self._workspaces = {centre.name: Workspace(workspace(centre.name)) for centre in settings.scored}
        self._found: dict[str, TaskMaterial] = {}
        self._work = self._all_steps()

    def spare(self, idle_cores: int) -> bool:
        """Take one step where a core is idle and there is one to take; say whether one was taken."""
        return idle_cores > 0 and self._scoring.ready and next(self._work)

    def finish(self, notify: Callable[[str], None]) -> ReportMaterial:
        """Return samples and embeddings of every centre that arrived, all centres' courses, and the surest mistakes."""
        from medforge.simulation.curves import Course
        from medforge.simulation.material import ReportMaterial
        from medforge.simulation.mistakes import confident_mistakes

        scoring, tasks = self._scoring, self._scoring.evaluator.tasks
        shown = [name for name in self._workspaces if name in scoring.arrivals and name in tasks]
        for place, name in enumerate(shown, start=1):
            if name not in self._found:
                notify(f"laying out the images of {name} for the report, {place} of {len(shown)}")
                for _ in self._lay_out(name, scoring.branch(name)):
                    pass
        return ReportMaterial(
            centres=tuple(self._found[name] for name in shown),
            courses=tuple(Course.of(name, workspace) for name, workspace in self._workspaces.items()),
            mistakes={last.question.name: confident_mistakes(last, tasks) for last in scoring.last_answers()},
        )

    def _all_steps(self) -> Iterator[bool]:
        """Take a step at a time; yield whether there was one."""
        waiting = dict(self._workspaces)
        while True:
            branch = _first_committed(waiting)
            if branch is None:
                yield False
                continue
            name, loaded = branch
            del waiting[name]
            if loaded is not None and name in self._scoring.evaluator.tasks:
                yield from (True for _ in self._lay_out(name, loaded))

    def _lay_out(self, name: str, branch: Branch) -> Iterator[None]:
        from medforge.simulation.material import lay_out

        evaluator = self._scoring.evaluator
        for member in next(one.centres for one in self._scoring.questions if name in one.centres):
            yield from evaluator.prepare_plugin(member, branch.plugin)
        found = yield from lay_out(evaluator.base, name, evaluator.tasks[name], branch.distilled, self._settings.seed)
        self._found[name] = replace(found, forming=snapshots(self._workspaces[name].distillation))


def _first_committed(workspaces: Mapping[str, Workspace]) -> tuple[str, Branch | None] | None:
    """Return the first centre with a branch, and the branch; None in its place where it is left to the end."""
    for name, workspace in workspaces.items():
        if workspace.committed is not None:
            try:
                return name, Branch.load(workspace.branch)
            except MedForgeError:
                # the forge's copy may be whole
                return name, None
    return None
