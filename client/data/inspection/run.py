"""What `medforge check` does: open a source as training would, and report everything at once."""

from __future__ import annotations

from dataclasses import dataclass

from medforge.client.data.catalogue import leaks_allowed, open_task
from medforge.client.data.inspection.inspect import SMALL, inspect
from medforge.client.data.inspection.report import Finding, Inspection
from medforge.client.data.problems import SourceProblems
from medforge.client.data.task import Task
from medforge.errors import InvalidInput, split_remedy
from medforge.progress import waiting


@dataclass(frozen=True)
class Checked:
    """Hold what was found, and the task where the source could be opened as one."""

    found: Inspection
    task: Task | None


def check(source: str, seed: int = 0) -> Checked:
    """Look at everything that a source holds; what it cannot be opened for is a problem among others.

    Raises InvalidInput for a source or an option that does not exist.
    """
    try:
        with waiting("listing the images"):
            task = _opened(source, seed)
    except SourceProblems as error:
        return Checked(_unopened(source, [Finding(**vars(one)) for one in error.problems]), None)
    except InvalidInput as error:
        cause, remedy = split_remedy(str(error))
        problem = Finding(place=source, what=f"cannot be used: {cause}", remedy=remedy or "mend it")
        return Checked(_unopened(source, [problem]), None)
    found = inspect(task, leaks_allowed(source))
    return Checked(found.model_copy(update={"problems": (*_prompts(task), *found.problems)}), task)


def _opened(source: str, seed: int) -> Task:
    """Open the task; where images cannot be used, as if nobody looked for look-alikes: they are reported later."""
    try:
        return open_task(source, SMALL, seed, prompted=False)
    except SourceProblems:
        return open_task(source, SMALL, seed, prompted=False, look_alikes=False)


def _prompts(task: Task) -> tuple[Finding, ...]:
    from medforge.client.data.prompts import check_prompts

    try:
        check_prompts(task)
    except InvalidInput as error:
        cause, remedy = split_remedy(str(error))
        return (Finding(place=task.name, what=cause.removeprefix(f"{task.name}: "), remedy=remedy or "mend it"),)
    return ()


def _unopened(source: str, problems: list[Finding]) -> Inspection:
    return Inspection(
        task=source,
        split="none",
        together=None,
        images=0,
        allowed_leaks=False,
        leaks=0,
        classes=(),
        sizes=(),
        related=(),
        problems=tuple(problems),
        warnings=(),
    )
