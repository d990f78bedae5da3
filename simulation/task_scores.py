"""Scores of a task: on every centre's test images, and on all of them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from medforge.assessment.result import Assessment
from medforge.client.data.task import Task
from medforge.prompt_form import normal_form
from medforge.simulation.centres import Centre, tasks_of
from medforge.simulation.outputs import Outputs
from medforge.simulation.result import Score

Answer = Callable[[str, Sequence[str] | None], Outputs]
"""Answer on a centre's test images, among prompts (None: the centre's own)."""


@dataclass(frozen=True)
class Question:
    """Hold a task, the centres whose test images of it are at hand, and the prompts of all of them.

    A model chooses among all the task's prompts, whatever classes the centre has; `prompts` is None where an image may
    have several findings, which do not compete.
    """

    name: str
    centres: tuple[str, ...]
    prompts: tuple[str, ...] | None

    def outputs(self, answer: Answer) -> dict[str, Outputs]:
        """Return what `answer` says of every centre's test images."""
        return {name: answer(name, self.prompts) for name in self.centres}

    def scores(self, answer: Answer) -> Scores:
        """Score what `answer` says of every centre's test images."""
        outputs = self.outputs(answer)
        return Scores(
            {name: one.score() for name, one in outputs.items()}, Outputs.together(list(outputs.values())).score()
        )


@dataclass(frozen=True)
class Scores:
    """Hold a model's score on each centre's test images, and on all of them together."""

    centres: dict[str, Score]
    whole: Score


@dataclass(frozen=True)
class LastAnswers:
    """Hold what the last main branch answers on the test images of each centre of a task, and the classes' names."""

    question: Question
    names: tuple[str, ...]
    outputs: dict[str, Outputs]

    def assess(self) -> Assessment:
        """Measure the answers on all test images together."""
        return Outputs.together(list(self.outputs.values())).assess(self.names)


def questions(centres: Sequence[Centre], opened: Mapping[str, Task]) -> tuple[Question, ...]:
    """Return the tasks of centres, as far as their images could be opened."""
    found = []
    for name, members in tasks_of(centres).items():
        there = tuple(member for member in members if member in opened)
        if there:
            several = any(opened[member].multi_label for member in there)
            found.append(Question(name, there, None if several else _all_prompts([opened[one] for one in there])))
    return tuple(found)


def _all_prompts(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Return every prompt once, those of the task with the most classes first, whatever their spelling."""
    by_form: dict[str, str] = {}
    for task in sorted(tasks, key=lambda task: -len(task.prompts)):
        for prompt in task.prompts:
            by_form.setdefault(normal_form(prompt), prompt)
    return tuple(by_form.values())
