"""The one pass over a task's images that stands before training, distillation, scoring and comparing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from medforge.client.data.catalogue import leaks_allowed
from medforge.client.data.inspection.inspect import inspect
from medforge.client.data.inspection.report import Inspection

if TYPE_CHECKING:
    from medforge.client.data.task import Task

MOST = 10
"""Problems and warnings that are said one by one."""


def check_images(task: Task, source: str, say: Callable[[str], None] = lambda sentence: None) -> Inspection:
    """Look at every image of a task; `say` hears the warnings. Raises SourceProblems where anything stops work."""
    found = inspect(task, leaks_allowed(source))
    # of drawn images everybody knows how many there are: who asked said so
    said = () if task.split == "procedural" else found.warnings
    for one in said[:MOST]:
        say(one.sentence)
    if len(said) > MOST:
        say(f"{len(said) - MOST} more things to know; see all of them with: medforge check SOURCE")
    found.refuse()
    return found
