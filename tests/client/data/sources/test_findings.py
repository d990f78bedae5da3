"""The `findings` source: drawn films, reproducible, with several findings an image or two classes, and learnable."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from medforge.client.data.catalogue import open_task
from medforge.client.data.drawn.painter_chest import MARKS, paint_films
from medforge.client.data.sources.findings import FILMS, SHARE
from medforge.client.data.task import Split
from medforge.errors import InvalidInput


def look(split: Split) -> torch.Tensor:
    """Shrink pictures to 16 by 16 grey pixels."""
    grey = split.images[:].float().mean(1, keepdim=True) / 255
    return torch.nn.functional.adaptive_avg_pool2d(grey, 16).flatten(1)


def test_a_film_of_the_chest_task_may_show_several_findings() -> None:
    task = open_task("findings:chest,train=40,validation=10,test=20", 64)
    assert task.multi_label
    assert (task.split, task.flip, task.name) == ("procedural", False, "findings-chest")
    assert task.prompts == tuple(
        f"positive {words}" for words in ("cardiomegaly", "pleural effusion", "infiltration", "mass")
    )
    assert task.negatives == tuple(prompt.replace("positive", "negative") for prompt in task.prompts)
    for part in task.splits.values():
        assert part.labels.shape == (len(part), 4)
        assert (part.labels.sum(dim=0) == round(SHARE * len(part))).all()
    assert set(task.train.labels.sum(dim=1).tolist()) >= {0, 1, 2}


@pytest.mark.parametrize("place", ["pneumonia", "tuberculosis"])
def test_its_companions_have_two_balanced_classes(place: str) -> None:
    task = open_task(f"findings:{place},train=40,validation=10,test=20", 64)
    assert not task.multi_label
    assert task.prompts == ("normal chest x-ray", f"chest x-ray with {place}")
    assert [torch.bincount(part.labels).tolist() for part in task.splits.values()] == [[20, 20], [5, 5], [10, 10]]


@pytest.mark.parametrize("place", list(FILMS))
def test_films_depend_on_the_seed_alone_and_none_is_there_twice(place: str) -> None:
    source = f"findings:{place},train=24,validation=8,test=8"
    first, again, other = (open_task(source, 64, seed) for seed in (0, 0, 1))
    whole = first.train.images[:]
    assert torch.equal(again.train.images[[17, 3]], whole[[17, 3]])
    assert torch.equal(again.train.labels, first.train.labels)
    assert not torch.equal(other.train.images[[3]], whole[[3]])
    pixels = torch.cat([part.images[:] for part in first.splits.values()])
    assert len({film.numpy().tobytes() for film in pixels}) == 40
    keys = {task.train.images.bank.source.key() for task in (first, other)}
    assert len(keys) == 2


@pytest.mark.parametrize("size", [28, 64, 96])
def test_films_have_the_size_asked_for(size: int) -> None:
    assert open_task("findings:chest,train=4,validation=4,test=4", size).train.images[:].shape == (4, 3, size, size)


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_makes_the_film_brighter_where_it_is_and_changes_nothing_else(mark: str) -> None:
    def draw(plain: float) -> torch.Tensor:
        films = paint_films({mark: torch.full((8,), plain)}, 8, 64, torch.Generator().manual_seed(0))
        return films[:, 0].float()

    without, faint, plain = draw(0.0), draw(0.5), draw(1.0)
    grown = (plain - without).flatten(1)
    assert (grown.max(dim=1).values > 20).all()
    assert ((grown.abs() > 8).float().mean(dim=1) < 0.35).all()
    assert ((faint - without).abs().sum() < (plain - without).abs().sum()).all()


def test_each_finding_can_be_told_and_not_perfectly() -> None:
    task = open_task("findings:chest,train=400,validation=4,test=200", 64)
    seen, unseen = look(task.train), look(task.test)
    for finding in range(4):
        model = LogisticRegression(C=1, max_iter=3000).fit(seen, task.train.labels[:, finding])
        area = roc_auc_score(task.test.labels[:, finding], model.decision_function(unseen))
        assert 0.6 < area < 0.999, task.prompts[finding]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("findings:knee", "findings: there is no task 'knee'; choose one of chest, pneumonia, tuberculosis"),
        ("findings:chest,test=3", "option test=3 must be a whole number of at least 4"),
    ],
)
def test_bad_requests_say_what_to_do(source: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        open_task(source, 64)
