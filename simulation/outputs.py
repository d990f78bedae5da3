"""What a model answers on test images, with what is true of them: scored for one centre, or for several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medforge.assessment.assess import assess
from medforge.assessment.result import Assessment
from medforge.client.data.task import Task
from medforge.metrics import score
from medforge.multi_label import log_odds
from medforge.prompt_form import normal_form
from medforge.simulation.result import Score


@dataclass(frozen=True)
class Outputs:
    """Hold class logits [n, C] and labels [n], or log-odds and labels [n, L], and the slide of each image or None.

    `patients` say which images are of one group where images are scored one by one.
    """

    logits: Tensor
    labels: Tensor
    groups: tuple[str, ...] | None = None
    patients: tuple[str, ...] | None = None

    @classmethod
    def on_test(cls, task: Task, logits: Tensor, prompts: Sequence[str]) -> Outputs:
        """Take a model's logits on a task's test split among `prompts`, which hold the task's own in normal form."""
        groups = task.scoring_groups(task.test)
        patients = task.test.groups if groups is None else None
        if task.multi_label:
            return cls(log_odds(logits), task.test.labels, groups, patients)
        forms = [normal_form(prompt) for prompt in prompts]
        places = torch.tensor([forms.index(normal_form(prompt)) for prompt in task.prompts])
        return cls(logits, places[task.test.labels], groups, patients)

    @classmethod
    def together(cls, parts: Sequence[Outputs]) -> Outputs:
        """Put the images of several test splits together; a slide belongs to one of them."""
        return cls(
            torch.cat([part.logits for part in parts]),
            torch.cat([part.labels for part in parts]),
            _joined([part.groups for part in parts]),
            None if all(part.patients is None for part in parts) else _joined([part.of_patients for part in parts]),
        )

    @property
    def of_patients(self) -> tuple[str, ...]:
        """The patient of each image, where none is known one for each."""
        return self.patients or tuple(str(place) for place in range(len(self.labels)))

    def score(self) -> Score:
        """Score them."""
        metrics = score(self.logits, self.labels, self.groups)
        return Score(acc=metrics.acc, auc=metrics.auc, balanced=metrics.balanced)

    def assess(self, names: Sequence[str]) -> Assessment:
        """Measure them as medicine does; `names` are of the classes or findings."""
        return assess(self.logits, self.labels, names, self.groups, self.patients)


def _joined(parts: Sequence[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """Return the groups of several test splits, none of which is in two of them; None where a split has none."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return tuple(f"{number} {group}" for number, part in enumerate(known) for group in part)
