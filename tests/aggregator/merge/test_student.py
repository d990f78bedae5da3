"""The student: what it learns from, that it learns, that a killed training goes on, and that nothing else decides."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import refold
from medforge.aggregator.merge.methods.regmean_plus_plus import regmean_plus_plus
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.student.lessons import Lesson, lesson_loss, prepare, turns
from medforge.aggregator.merge.student.mixtures import Mixtures
from medforge.aggregator.merge.student.recipe import StudentRecipe
from medforge.aggregator.merge.student.training import Student, train
from medforge.aggregator.merge.uniform import Weighed
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import InvalidBranch
from medforge.seeds import generator
from tests.aggregator.forges import branches, fold_in_memory

RECIPE = StudentRecipe("test", rank=4, mixtures=64, steps=60, rate=0.02)


def arrived_of(arriving: list[Branch]) -> list[ArrivedBranch]:
    return sorted(
        (ArrivedBranch.of(number, branch) for number, branch in enumerate(arriving, start=1)), key=lambda a: a.digest
    )


def begin(base: BaseModule, arriving: list[Branch], recipe: StudentRecipe = RECIPE, seed: int = 0) -> Student:
    order = arrived_of(arriving)
    start = regmean_plus_plus([Weighed(one, 1.0) for one in order], base, choose_settings(method="regmean++"))
    lessons = [prepare(base, one, recipe, seed, ProbabilityCache(base, None)) for one in order]
    return Student(base, {site: change.float() for site, change in start.items()}, lessons, recipe, seed)


def distance(base: BaseModule, arriving: list[Branch], change: dict[str, Tensor]) -> float:
    """Return the mean KL of the network's class probabilities from the own plugin's, on the distilled images."""
    total = 0.0
    for branch in arriving:
        images, prompts = branch.distilled.images, branch.distilled.prompts
        taught, said = (
            base.logits(base.embed_all(images, deltas), prompts).log_softmax(dim=1)
            for deltas in (branch.plugin.deltas(base), change)
        )
        total += float(F.kl_div(said, taught, reduction="batchmean", log_target=True))
    return total / len(arriving)


def test_a_student_comes_nearer_to_its_teachers_than_it_began(tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base, 2, ipc=10)
    student = begin(tiny_base, arriving)
    before = distance(tiny_base, arriving, student.changes())
    trained = train(student, RECIPE, None, "")
    assert distance(tiny_base, arriving, trained) < 0.7 * before


def test_it_begins_at_regmean_plus_plus(tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base, 2)
    start = fold_in_memory(tiny_base, choose_settings(method="regmean++"), arriving)[-1].item.weight_change(tiny_base)
    for site, change in begin(tiny_base, arriving).changes().items():
        torch.testing.assert_close(change, start[site])


def test_a_step_follows_the_gradient_of_the_mean_over_its_plates(tiny_base: BaseModule) -> None:
    """Against autograd over the whole step at once, and PyTorch's own Adam."""
    arriving = branches(tiny_base, 2, ipc=5)
    ours, theirs = begin(tiny_base, arriving), begin(tiny_base, arriving)
    factors = {name: factor.clone().requires_grad_() for name, factor in theirs.factors.items()}
    optimiser = torch.optim.Adam(factors.values(), lr=1.0)
    order = arrived_of(arriving)
    lessons = [prepare(tiny_base, one, RECIPE, 0, ProbabilityCache(tiny_base, None)) for one in order]
    planned = turns(order, RECIPE.steps * RECIPE.plates, 0)
    for step in range(3):
        total = torch.zeros(())
        for place, visit in planned[RECIPE.plates * step : RECIPE.plates * (step + 1)]:
            lesson = lessons[place]
            chosen = lesson.plate(visit, 0)
            images = lesson.mixtures.of(lesson.arrived.images(), chosen)
            embeddings = tiny_base.embed(images, theirs.changes(factors))
            wanted = tiny_base.embed(images, lesson.arrived.plugin().deltas(tiny_base))
            total = total + lesson_loss(tiny_base, embeddings, wanted, lesson.arrived.prompts, RECIPE.features)
        optimiser.zero_grad()
        loss = total / RECIPE.plates
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(factors.values()), RECIPE.clip)
        optimiser.param_groups[0]["lr"] = RECIPE.rate_at(step)
        optimiser.step()
        assert ours.advance() == pytest.approx(float(loss.detach()), rel=1e-3)
    for name, factor in factors.items():
        torch.testing.assert_close(ours.factors[name], factor.detach(), rtol=0.05, atol=2e-3)


def test_a_killed_training_goes_on_and_ends_in_the_same_bytes(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = choose_settings(method="student", parameters={"steps": 40, "rank": 2, "mixtures": 32})
    arrived = arrived_of(branches(tiny_base, 2))
    undisturbed = refold(tiny_base, settings, arrived, ProbabilityCache(tiny_base, None)).item
    advance, taken = Student.advance, []

    def killed(student: Student) -> float:
        taken.append(student.step)
        if student.step == 30:
            raise KeyboardInterrupt
        return advance(student)

    monkeypatch.setattr(Student, "advance", killed)
    with pytest.raises(KeyboardInterrupt):
        refold(tiny_base, settings, arrived, ProbabilityCache(tiny_base, tmp_path))
    monkeypatch.setattr(Student, "advance", lambda student: (taken.append(student.step), advance(student))[1])
    taken.clear()
    with caplog.at_level(logging.INFO):
        again = refold(tiny_base, settings, arrived, ProbabilityCache(tiny_base, tmp_path)).item
    assert taken == list(range(25, 40)), "it goes on from the last state that was written"
    assert again.digest == undisturbed.digest
    assert "the student goes on from step 25 of 40" in caplog.text
    assert "student step 40 of 40: loss" in caplog.text


@pytest.mark.parametrize("damage", [b"", b"not a state"])
def test_a_damaged_state_is_no_state(tmp_path: Path, tiny_base: BaseModule, damage: bytes) -> None:
    settings = choose_settings(method="student", parameters={"steps": 3, "rank": 2, "mixtures": 32})
    arrived = arrived_of(branches(tiny_base, 2))
    first = refold(tiny_base, settings, arrived, ProbabilityCache(tiny_base, tmp_path)).item
    (state,) = tmp_path.glob("student-*.safetensors")
    state.write_bytes(damage)
    assert refold(tiny_base, settings, arrived, ProbabilityCache(tiny_base, tmp_path)).item.digest == first.digest


def test_the_state_of_another_training_is_given_up(tmp_path: Path, tiny_base: BaseModule) -> None:
    """So what a withdrawn branch taught does not stay in the cache beyond the fold without it."""
    settings = choose_settings(method="student", parameters={"steps": 3, "rank": 2, "mixtures": 32})
    arrived = arrived_of(branches(tiny_base, 3))
    refold(tiny_base, settings, arrived, ProbabilityCache(tiny_base, tmp_path))
    (with_all,) = tmp_path.glob("student-*.safetensors")
    without = refold(tiny_base, settings, arrived[:2], ProbabilityCache(tiny_base, tmp_path)).item
    (now,) = tmp_path.glob("student-*.safetensors")
    assert now != with_all
    assert without.digest == refold(tiny_base, settings, arrived[:2], ProbabilityCache(tiny_base, None)).item.digest


def test_the_seed_decides(tiny_base: BaseModule) -> None:
    given = {"steps": 3, "rank": 2, "mixtures": 32}
    items = [
        fold_in_memory(tiny_base, choose_settings(method="student", seed=seed, parameters=given), branches(tiny_base))[
            -1
        ].item.digest
        for seed in (0, 0, 1)
    ]
    assert items[0] == items[1] != items[2]


def test_a_training_that_diverges_is_said(tiny_base: BaseModule) -> None:
    student = begin(tiny_base, branches(tiny_base, 2))
    for factor in student.factors.values():
        factor.fill_(1e30)
    with pytest.raises(InvalidBranch, match="the student's training diverges; fold with a lower rate"):
        student.advance()


def test_every_task_has_a_turn_a_round_and_its_branches_take_turns(tiny_base: BaseModule) -> None:
    one, two, three = branches(tiny_base, 3)
    same = Branch(three.manifest.model_copy(update={"task": one.manifest.task}), three.plugin, three.distilled)
    order = arrived_of([one, two, same])
    found = turns(order, 12, 0)
    for start in range(0, 12, 2):
        assert {order[place].task for place, _ in found[start : start + 2]} == {"task 0", "task 1"}
    for place in range(3):
        visits = [visit for other, visit in found if other == place]
        assert visits == list(range(6 if order[place].task == "task 1" else 3))
    assert turns(order, 5, 0) == found[:5]


def test_each_mixture_is_seen_once_before_any_is_seen_again(tiny_base: BaseModule) -> None:
    (arrived,) = arrived_of(branches(tiny_base, 1))
    lesson = Lesson(arrived, Mixtures.draw(4, 64, 32, generator(0, "test")), torch.zeros(64, 1))
    rounds = [sorted(torch.cat([lesson.plate(4 * n + k, 0) for k in range(4)]).tolist()) for n in range(3)]
    assert rounds == [list(range(64))] * 3
    assert not torch.equal(lesson.plate(0, 0), lesson.plate(4, 0))


def test_mixtures_are_convex_in_every_pixel_and_of_the_share_that_they_say() -> None:
    images = torch.stack([torch.full((3, 32, 32), float(value)) for value in (1, 5)])
    mixtures = Mixtures.draw(2, 400, 32, generator(0, "test"))
    mixed = mixtures.of(images, torch.arange(400))
    first, second = images[mixtures.first, 0, 0, 0], images[mixtures.second, 0, 0, 0]
    blended = ~mixtures.cut
    wanted = mixtures.share * first + (1 - mixtures.share) * second
    torch.testing.assert_close(mixed[blended].mean(dim=(1, 2, 3)), wanted[blended])
    # a cut image has the pixels of the two and no others, and the box is as large as the share says, but for rounding
    cut = mixed[mixtures.cut].flatten(1)
    both = torch.stack([first, second], dim=1)[mixtures.cut]
    assert ((cut.unsqueeze(2) == both.unsqueeze(1)).any(dim=2)).all()
    torch.testing.assert_close(cut.mean(dim=1), wanted[mixtures.cut], rtol=0, atol=0.3)
    assert 150 < int(mixtures.cut.sum()) < 250


def test_a_flipped_mixture_is_the_mixture_of_flipped_images() -> None:
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mixtures = Mixtures.draw(3, 40, 8, generator(1, "test"))
    whole = mixtures.of(images, torch.arange(40))
    for place in range(40):
        a, b = images[mixtures.first[place]], images[mixtures.second[place]].clone()
        share = mixtures.share[place]
        top, bottom, left, right = mixtures.box[place].tolist()
        if mixtures.cut[place]:
            wanted = a.clone()
            wanted[:, top:bottom, left:right] = b[:, top:bottom, left:right]
        else:
            wanted = share * a + (1 - share) * b
        dims = [dim for dim, turned in zip((1, 2), mixtures.flip[place].tolist(), strict=True) if turned]
        torch.testing.assert_close(whole[place], wanted.flip(dims))


def test_the_loss_is_kl_and_the_cosine_distance(tiny_base: BaseModule) -> None:
    random = torch.Generator().manual_seed(0)
    said, wanted = torch.randn(2, 5, tiny_base.embed_dim, generator=random)
    prompts = ("benign", "malignant", "uncertain")
    p, q = (tiny_base.logits(one, prompts).softmax(dim=1) for one in (wanted, said))
    kl = (p * (p / q).log()).sum(dim=1)
    cosine = (said * wanted).sum(dim=1) / said.norm(dim=1) / wanted.norm(dim=1)
    found = lesson_loss(tiny_base, said, wanted, prompts, 2.5)
    assert float(found) == pytest.approx(float((kl + 2.5 * (1 - cosine)).mean()), rel=1e-4)
    assert float(lesson_loss(tiny_base, wanted, wanted, prompts, 2.5)) == pytest.approx(0, abs=1e-5)


def test_what_a_teacher_said_is_asked_once(tmp_path: Path, tiny_base: BaseModule) -> None:
    (arrived,) = arrived_of(branches(tiny_base, 1))
    first = prepare(tiny_base, arrived, RECIPE, 0, ProbabilityCache(tiny_base, tmp_path))
    files = set(tmp_path.iterdir())
    again = prepare(tiny_base, arrived, RECIPE, 0, ProbabilityCache(tiny_base, tmp_path))
    assert len(files) == 1
    assert set(tmp_path.iterdir()) == files
    assert torch.equal(first.embeddings, again.embeddings)
    other = prepare(tiny_base, arrived, RECIPE, 1, ProbabilityCache(tiny_base, tmp_path))
    assert not torch.equal(first.embeddings, other.embeddings)
