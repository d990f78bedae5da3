"""The gate that an arrival passes first: its task is declared, or is declared by it where the forge is open."""

from collections.abc import Sequence

from medforge.aggregator.forge.declaring import check_declarable, declaration_for, declare
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.aggregator.main_branch.examination import BranchHeld
from medforge.base_module import BaseModule
from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidBranch, InvalidInput
from medforge.manifest import Manifest


class TaskGate:
    """Hold arrivals that answer no declared task. A fold does not depend on it: replay asks no gate."""

    def __init__(self, forge: Forge, base: BaseModule) -> None:
        self._forge = forge
        self._base = base
        self._table = TaskTable(forge.ledger)
        self._caught_up = False

    def check(self, manifest: Manifest, arrival: int) -> DeclaredTask | None:
        """Return what the arrival has to declare before it is folded, None where it fits what is declared.

        Raises BranchHeld for a task that is not declared, a class that it does not have, or a prompt too much like
        another task's.
        """
        before = self._table.declarations()
        known = before[manifest.task].task if manifest.task in before else None
        try:
            task = declaration_for(manifest, arrival, before, self._forge.policy.tasks.open)
            if task == known:
                return None
            check_declarable(task, before, self._base, extends=True)
        except (InvalidBranch, InvalidInput) as error:
            raise BranchHeld(str(error)) from error
        return task

    def declare(self, task: DeclaredTask, arrival: int) -> None:
        """Declare a task or its new classes, by an arrival that is about to be folded; raises BranchHeld as `check`."""
        try:
            declare(self._table, task, self._base, arrival)
        except InvalidInput as error:
            raise BranchHeld(str(error)) from error

    def catch_up(self, members: Sequence[int]) -> None:
        """Declare, once, what a main branch of an older version is made of; tasks that are too much alike stay out."""
        if self._caught_up:
            return
        self._caught_up = True
        entries = self._forge.ledger.arrivals_by_number(members)
        new = {entry.task for entry in entries.values()} - self._table.declarations().keys()
        for number in (one for one in members if entries[one].task in new):
            before = self._table.declarations()
            try:
                task = declaration_for(self._forge.manifest(number), number, before, open_tasks=True)
                if task.name not in before or task != before[task.name].task:
                    declare(self._table, task, self._base, number)
            except (InvalidBranch, InvalidInput):
                continue
