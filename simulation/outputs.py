"""What a model answers on test images, with what is true of them: scored for one centre, or for several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medforge.client.data.task import Task
from medforge.metrics import score
from medforge.multi_label import log_odds
from medforge.prompt_form import normal_form
from medforge.simulation.result import Score


@dataclass(frozen=True)
class Outputs:
    """Hold class logits [n, C] and labels [n], or log-odds and labels [n, L], and the slide of each image or None."""

    logits: Tensor
    labels: Tensor
    groups: tuple[str, ...] | None = None

    @classmethod
    def on_test(cls, task: Task, logits: Tensor, prompts: Sequence[str]) -> Outputs:
        """Take a model's logits on a task's test split among `prompts`, which hold the task's own in normal form."""
        groups = task.scoring_groups(task.test)
        if task.multi_label:
            return cls(log_odds(logits), task.test.labels, groups)
        forms = [normal_form(prompt) for prompt in prompts]
        places = torch.tensor([forms.index(normal_form(prompt)) for prompt in task.prompts])
        return cls(logits, places[task.test.labels], groups)

    @classmethod
    def together(cls, parts: Sequence[Outputs]) -> Outputs:
        """Put the images of several test splits together; a slide belongs to one of them."""
        groups: list[str] | None = []
        for number, part in enumerate(parts):
            groups = None if groups is None or part.groups is None else groups + [f"{number} {g}" for g in part.groups]
        return cls(
            torch.cat([part.logits for part in parts]),
            torch.cat([part.labels for part in parts]),
            None if groups is None else tuple(groups),
        )

    def score(self) -> Score:
        """Score them."""
        metrics = score(self.logits, self.labels, self.groups)
        return Score(acc=metrics.acc, auc=metrics.auc)
