"""Classes out of balance: which epoch is best, and how images are drawn."""

from dataclasses import replace

import pytest
import torch

from medforge.client.data.balance import majority_share, out_of_balance
from medforge.client.data.task import Split, Task
from medforge.client.recipe import TrainRecipe
from medforge.client.recipes import DEMO, PAPER, TINY
from medforge.client.train import Epoch, better, by_balanced_accuracy, epoch_order
from medforge.errors import InvalidInput
from medforge.metrics import score
from tests.client.tasks import make_findings_task, make_task


def test_balanced_accuracy_is_the_mean_of_the_sensitivities() -> None:
    labels = torch.tensor([0] * 200 + [1] * 4)
    logits = torch.tensor([[1.0, 0.0]]).repeat(204, 1)
    always = score(logits, labels)
    assert always.acc == pytest.approx(200 / 204)
    assert always.balanced == pytest.approx(0.5)
    assert majority_share([200, 4]) == pytest.approx(always.acc)
    logits[200:202] = torch.tensor([0.0, 1.0])
    assert score(logits, labels).balanced == pytest.approx(0.75)


def test_out_of_balance_is_twice_as_many() -> None:
    assert [out_of_balance(counts) for counts in ([10, 19], [10, 20], [0, 5], [5])] == [False, True, False, False]


def test_the_better_epoch_by_either_measure() -> None:
    always, finds = Epoch(1, 0.0, 0.3, 0.98, None, 0.5), Epoch(2, 0.0, 0.4, 0.9, None, 0.85)
    assert not better(finds, always)
    assert better(finds, always, balanced=True)
    assert better(finds, always._replace(balanced=None, acc=0.8), balanced=True)


def uneven() -> Task:
    task = make_task(train=40)
    kept = torch.cat([torch.arange(0, 40, 2), torch.tensor([1, 3])])
    return replace(task, train=Split(task.train.images.select(kept.numpy()), task.train.labels[kept]))


def test_the_rule_of_by_balance() -> None:
    even, few = make_task(), uneven()
    by_balance = TrainRecipe(select="by-balance")
    assert not by_balanced_accuracy(even, by_balance)
    assert by_balanced_accuracy(few, by_balance)
    assert by_balanced_accuracy(even, TrainRecipe(select="balanced"))
    assert not by_balanced_accuracy(few, PAPER.train)
    assert (PAPER.train.select, TINY.train.select, DEMO.train.select) == ("accuracy", "by-balance", "by-balance")


def test_recipes_that_say_nothing_of_it_are_written_as_before() -> None:
    assert not {"select", "sampler"} & PAPER.model_dump(mode="json")["train"].keys()
    assert TINY.model_dump(mode="json")["train"]["select"] == "by-balance"


def test_the_balanced_sampler_draws_every_class_as_often() -> None:
    task = uneven()
    drawn = [
        task.train.labels[epoch_order(task, TrainRecipe(sampler="balanced"), torch.Generator().manual_seed(seed))]
        for seed in range(100)
    ]
    assert len(drawn[0]) == len(task.train)
    assert torch.cat(drawn).double().mean().item() == pytest.approx(0.5, abs=0.03)
    whole = epoch_order(task, TrainRecipe(), torch.Generator().manual_seed(0))
    assert sorted(whole.tolist()) == list(range(len(task.train)))
    with pytest.raises(InvalidInput, match=r"leave train\.sampler=balanced out"):
        epoch_order(make_findings_task(), TrainRecipe(sampler="balanced"), torch.Generator())
