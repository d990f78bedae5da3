"""The `tissue` source: reproducible, balanced, and a task that can be learned but not solved by its mean colour."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from medforge.client.data.catalogue import open_task
from medforge.client.data.drawn.organs import ORGANS
from medforge.client.data.task import Split
from medforge.errors import InvalidInput


def look(split: Split) -> torch.Tensor:
    """Describe pictures by mean and spread of colour, and of what a small blur takes away."""
    pixels = split.images[:].float() / 255
    fine = (pixels - torch.nn.functional.avg_pool2d(pixels, 3, 1, 1)).abs().mean((2, 3))
    return torch.cat([pixels.mean((2, 3)), pixels.std((2, 3)), fine], 1)


@pytest.mark.parametrize("organ", list(ORGANS))
def test_splits_are_balanced_and_share_no_image(organ: str) -> None:
    task = open_task(f"tissue:{organ},train=36,validation=12,test=24", 64)
    assert task.prompts == tuple(one.prompt for one in ORGANS[organ].classes)
    assert [len(split) for split in task.splits.values()] == [36, 12, 24]
    for split in task.splits.values():
        counts = torch.bincount(split.labels)
        assert counts.max() == counts.min()
    names = [name for split in task.splits.values() for name in split.images.names]
    assert len(set(names)) == 72
    pixels = torch.cat([split.images[:] for split in task.splits.values()])
    assert len({picture.numpy().tobytes() for picture in pixels}) == 72


def test_an_image_depends_on_seed_and_position_only() -> None:
    source = "tissue:lung,train=24,validation=6,test=6"
    first, again, other = (open_task(source, 64, seed) for seed in (0, 0, 1))
    whole = first.train.images[:]
    assert torch.equal(again.train.images[[17, 3]], whole[[17, 3]])
    assert not torch.equal(other.train.images[[3]], whole[[3]])


@pytest.mark.parametrize("size", [28, 64, 96])
def test_images_have_the_size_asked_for(size: int) -> None:
    task = open_task("tissue:breast,train=4,validation=2,test=2", size)
    assert task.train.images[:].shape == (4, 3, size, size)


def test_organs_differ_by_stain() -> None:
    features, organs = [], []
    for number, organ in enumerate(ORGANS):
        task = open_task(f"tissue:{organ},train=48,validation=3,test=3", 64)
        features.append(look(task.train))
        organs += [number] * len(task.train)
    model = LogisticRegression(C=100, max_iter=2000).fit(torch.cat(features)[::2], organs[::2])
    assert model.score(torch.cat(features)[1::2], organs[1::2]) > 0.8


@pytest.mark.parametrize("organ", list(ORGANS))
def test_classes_can_be_learned_and_colour_is_not_enough(organ: str) -> None:
    task = open_task(f"tissue:{organ},train=180,validation=6,test=120", 64)
    model = LogisticRegression(C=100, max_iter=5000).fit(look(task.train), task.train.labels)
    accuracy = model.score(look(task.test), task.test.labels)
    assert 1.3 / len(task.prompts) < accuracy < 0.97


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("tissue:kidney", "no organ 'kidney'; choose one of breast, lung, colon"),
        ("tissue:lung,test=2", "option test=2 must be a whole number of at least 3"),
        ("tissue:lung,train=many", "option train=many must be a whole number"),
    ],
)
def test_bad_requests_say_what_to_do(source: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        open_task(source, 64)
