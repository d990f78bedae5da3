"""How a task comes to be declared, and whether a branch answers a declared one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from medforge.aggregator.forge.policy import Limits
from medforge.aggregator.ledger.records import Declaration
from medforge.aggregator.ledger.task_table import TaskTable, undeclared
from medforge.declared_task import DeclaredTask, check_joins
from medforge.errors import InvalidBranch, InvalidInput
from medforge.manifest import Manifest
from medforge.prompt_form import normal_form
from medforge.proto.errors import OverLimit

if TYPE_CHECKING:
    from medforge.base_module import BaseModule


def declaration_for(
    manifest: Manifest, arrival: int, before: Mapping[str, Declaration], open_tasks: bool
) -> DeclaredTask:
    """Return the declaration that a branch fits: the one that is there, or in an open forge one that it makes of it.

    Raises InvalidBranch, naming the command that would declare the task, or the class that does not fit.
    """
    declared = before[manifest.task].task if manifest.task in before else None
    if declared is None and not open_tasks:
        raise InvalidBranch(f"{undeclared(manifest.task)}; {_remedy(manifest, arrival, before)}")
    if declared is None or open_tasks:
        try:
            declared = DeclaredTask.of(manifest) if declared is None else declared.extended(manifest)
        except InvalidInput as error:
            raise InvalidBranch(str(error)) from error
    declared.places(manifest)
    return declared


def declare(table: TaskTable, task: DeclaredTask, base: BaseModule, arrival: int | None = None) -> int:
    """Declare a task, or extend it as an arrival asks for, and return how many held arrivals that releases.

    The maintainer (no arrival) declares a name once. Raises InvalidInput where the name is taken, or a prompt is too
    much like another.
    """
    while True:
        before = table.declarations()
        check_declarable(task, before, base, extends=arrival is not None)
        released = table.add(task, before, arrival)
        if released is not None:
            return released


def check_declarable(
    task: DeclaredTask, before: Mapping[str, Declaration], base: BaseModule, extends: bool = False
) -> None:
    """Raise InvalidInput where a task cannot be declared beside those before; one that ``extends`` has a name there."""
    others = [one.task for name, one in before.items() if not (extends and name == task.name)]
    check_joins(task, others, base)


def check_limits(task: DeclaredTask, limits: Limits) -> None:
    """Raise OverLimit for more classes or longer prompts than a branch of the task may have."""
    longest = max(map(len, task.prompts))
    if len(task.classes) > limits.classes:
        raise OverLimit(
            f"task {task.name!r} has {len(task.classes)} classes where this forge admits {limits.classes}; join "
            f"classes, divide the task, or raise limits.classes"
        )
    if longest > limits.prompt_length:
        raise OverLimit(
            f"task {task.name!r} has a prompt of {longest} characters where this forge admits {limits.prompt_length}; "
            f"shorten it, or raise limits.prompt_length"
        )


def _remedy(manifest: Manifest, arrival: int, before: Mapping[str, Declaration]) -> str:
    """Say how an undeclared task comes in: by the command that declares it, or under the name that it has here."""
    prompts = set(map(normal_form, manifest.prompts))
    for name, one in before.items():
        if prompts <= set(map(normal_form, one.task.prompts)):
            return f"its prompts are those of task {name!r}, so commit it again with --task {shlex.quote(name)}"
    modality = "" if manifest.modality else " --modality MODALITY"
    command = f"medforge task add {shlex.quote(manifest.task)} --like {arrival}{modality} --forge DIR"
    return f"the maintainer declares it with `{command}`"
