"""DP-SGD: gradients of single images and patients, what one patient can add, and who takes part."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.adapt import adapt
from medforge.base import BaseModule
from medforge.client.data.task import Task
from medforge.client.fit import trainable
from medforge.client.privacy.accounting import Mechanism
from medforge.client.privacy.noise import clipped
from medforge.client.privacy.private_steps import PrivateSteps
from medforge.client.privacy.secret import NoiseSecret
from medforge.client.privacy.units import Units, unit_of
from medforge.multi_label import classification_loss
from tests.client.tasks import TRAIN, make_findings_task, make_task

RECIPE = TRAIN.model_copy(update={"augment": "none", "plugin": TRAIN.plugin.model_copy(update={"dropout": 0.0})})


def grouped(task: Task, each: int, **changes: object) -> Task:
    names = tuple(f"patient {position // each}" for position in range(len(task.train)))
    return replace(task, train=replace(task.train, groups=names), split="patient", **changes)  # type: ignore[arg-type]


def steps_of(base: BaseModule, task: Task, clip: float = 1.0, noise: float = 1.0, rate: float = 0.5) -> PrivateSteps:
    model = adapt(base, RECIPE.plugin, seed=3)
    with torch.no_grad():
        # a fresh LoRA's A has no gradient, as B is zero
        for parameter in trainable(model).values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    mechanism = Mechanism(name="training", noise=noise, rate=rate, steps=10)
    return PrivateSteps(model, base, task, RECIPE, mechanism, 8, clip, Units.of(task, 8))


def one_by_one(steps: PrivateSteps, base: BaseModule, task: Task, position: int) -> torch.Tensor:
    """The gradient of one image's loss by plain autograd."""
    model, parameters = adapt(base, RECIPE.plugin, seed=3), {}
    parameters = trainable(model)
    with torch.no_grad():
        for own, kept in zip(parameters.values(), steps._parameters.values(), strict=True):
            own.copy_(kept)
    logits = base.logits(model(base.normalise(task.train.images[[position]])), task.texts)
    classification_loss(logits, task.train.labels[[position]]).backward()
    return torch.cat([one.grad.flatten() for one in parameters.values() if one.grad is not None])


@pytest.mark.parametrize("task", [make_task(), make_findings_task()], ids=["classes", "findings"])
def test_gradients_are_those_of_single_images(tiny_base: BaseModule, task: Task) -> None:
    steps = steps_of(tiny_base, task)
    rows, _ = steps.gradients(tuple(torch.arange(5).split(1)), torch.Generator())
    for position, row in enumerate(rows):
        expected = one_by_one(steps, tiny_base, task, position)
        assert torch.allclose(row, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))


def test_a_patients_gradient_is_the_mean_of_the_images(tiny_base: BaseModule) -> None:
    steps = steps_of(tiny_base, make_task())
    rows, _ = steps.gradients((torch.tensor([0, 1, 2]), torch.tensor([5])), torch.Generator())
    single, _ = steps.gradients(tuple(torch.tensor([0, 1, 2, 5]).split(1)), torch.Generator())
    assert torch.allclose(rows[0], single[:3].mean(dim=0), rtol=1e-5, atol=1e-7)
    assert torch.equal(rows[1], single[3])


@given(clip=st.floats(1e-3, 50), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), gone=st.integers(0, 3))
@settings(max_examples=12, deadline=None)
def test_no_patient_adds_more_than_the_clip(tiny_base: BaseModule, clip: float, sizes: list[int], gone: int) -> None:
    steps = steps_of(tiny_base, make_task())
    units = torch.arange(sum(sizes)).split(sizes)

    def summed(chosen: tuple[torch.Tensor, ...]) -> torch.Tensor:
        if not chosen:
            return torch.zeros(1, dtype=torch.float64)
        return clipped(steps.gradients(chosen, torch.Generator())[0], clip).sum(dim=0)

    others = tuple(unit for number, unit in enumerate(units) if number != gone % len(units))
    # gradients of a batch of other images differ in the last bits
    assert float((summed(tuple(units)) - summed(others)).norm()) <= clip * (1 + 1e-5)


def test_the_noise_of_a_step_is_what_the_plan_says(tiny_base: BaseModule) -> None:
    task, clip, noise = make_task(), 0.5, 3.0
    steps = steps_of(tiny_base, task, clip, noise, rate=1.0)
    exact = clipped(steps.gradients(steps._units.members, torch.Generator())[0], clip).sum(dim=0)
    loss, images = steps.write_gradient(0, NoiseSecret())
    written = torch.cat([one.grad.flatten() for one in steps._parameters.values() if one.grad is not None])
    rest = 8 * written.double() - exact
    assert images == len(task.train)
    assert loss > 0
    # five standard errors, of a deviation and of a mean
    assert float(rest.std()) == pytest.approx(noise * clip, rel=5 / (2 * len(rest)) ** 0.5)
    assert abs(float(rest.mean())) < 5 * noise * clip / len(rest) ** 0.5


def test_a_step_that_nobody_was_drawn_for_is_noise(tiny_base: BaseModule) -> None:
    steps = steps_of(tiny_base, make_task(), rate=1e-12)
    assert steps.write_gradient(0, NoiseSecret()) == (0.0, 0)
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in steps._parameters.values())


class TestUnits:
    def test_look_alikes_are_no_patient(self) -> None:
        task = grouped(make_task(), 3)
        assert (unit_of(task), len(Units.of(task, 8))) == ("patient", 8)
        assert (unit_of(replace(task, split="look-alikes")), len(Units.of(replace(task, split="look-alikes"), 8))) == (
            "image",
            24,
        )
        assert unit_of(replace(task, split="published")) == "group"
        assert unit_of(make_task()) == "image"

    def test_what_one_patient_gives_depends_on_no_other(self) -> None:
        task = grouped(make_task(), 6)
        everybody = Units.of(task, 4).spread_out()
        fewer = Units.of(replace(task, train=replace(task.train, groups=("new",) * 6 + task.train.groups[6:])), 4)  # type: ignore[index]
        assert [one.tolist() for one in fewer.spread_out()[1:]] == [one.tolist() for one in everybody[1:]]
        assert all(len(one) == 4 for one in everybody)

    def test_everybody_is_drawn_as_often_and_by_nobodys_leave(self) -> None:
        units = Units.of(grouped(make_task(), 2), 1)
        rounds = [units.draw(0.25, NoiseSecret(), "train", number) for number in range(200)]
        assert sum(map(len, rounds)) / (200 * len(units)) == pytest.approx(0.25, abs=0.03)
        assert all(len(one) == 1 for drawn in rounds for one in drawn)
        # a larger patient's images take turns
        assert len({int(one) for drawn in rounds for one in drawn}) == 24
