import pytest
import torch
from torch import Tensor

from medforge.base import BaseModule
from medforge.client.distill import score
from medforge.client.distill.score import train_on_distilled
from medforge.distilled import DistilledDataset
from tests.client.tasks import DISTILL, PROMPTS


def test_scoring_augments_each_image_by_its_own_numbers(tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the public code trains on S: the operation is drawn for the batch, its numbers for each image."""
    seen: list[Tensor] = []
    taken = score.fit_step

    def spy(model: object, base: object, optimiser: object, images: Tensor, *rest: object) -> float:
        seen.append(images)
        return taken(model, base, optimiser, images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(score, "fit_step", spy)
    grey = DistilledDataset(torch.zeros(6, 3, 32, 32).half(), torch.tensor([0, 0, 0, 1, 1, 1]), PROMPTS)
    train_on_distilled(grey, tiny_base, DISTILL.model_copy(update={"strategy": "color"}), seed=0)
    shifts = torch.cat([batch.mean(dim=(1, 2, 3)) for batch in seen])
    assert len(seen) == DISTILL.score_steps
    assert len(set(shifts.tolist())) == len(shifts)
