"""Answers on several centres' test images are scored as one test set."""

import torch

from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.task import Split, Task
from medforge.metrics import score
from medforge.simulation.outputs import Outputs

LOGITS = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))


def split(labels: list[int], groups: list[str] | None = None) -> Split:
    images = PixelStore.of_tensor(torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8))
    return Split(images, torch.tensor(labels), None if groups is None else tuple(groups))


def task(prompts: tuple[str, ...], labels: list[int]) -> Task:
    test = split(labels)
    return Task("t", prompts, test, test, test, "random")


def test_labels_are_places_among_the_prompts_that_are_asked() -> None:
    found = Outputs.on_test(task(("C", "a "), [0, 1, 1, 0]), LOGITS[:4], ("a", "b", "c"))
    assert found.labels.tolist() == [2, 0, 0, 2]


def test_together_they_are_one_test_set() -> None:
    one = Outputs.on_test(task(("a", "b"), [0, 1, 0, 1, 1]), LOGITS[:5], ("a", "b", "c"))
    other = Outputs.on_test(task(("b", "c"), [0, 1, 1, 0, 1, 0, 0]), LOGITS[5:], ("a", "b", "c"))
    expected = score(LOGITS, torch.tensor([0, 1, 0, 1, 1, 1, 2, 2, 1, 2, 1, 1]))
    found = Outputs.together([one, other]).score()
    assert (found.acc, found.auc) == (expected.acc, expected.auc)


def test_a_slide_belongs_to_one_centre() -> None:
    one = Outputs(LOGITS[:4], torch.tensor([0, 0, 1, 1]), ("s", "s", "t", "t"))
    other = Outputs(LOGITS[4:6], torch.tensor([2, 2]), ("s", "s"))
    together = Outputs.together([one, other])
    assert together.groups is not None
    assert len(set(together.groups)) == 3
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    assert together.score().acc == score(LOGITS[:6], labels, ("a", "a", "b", "b", "c", "c")).acc
