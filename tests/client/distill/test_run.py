from pathlib import Path

import pytest
import torch

from medforge.base import BaseModule
from medforge.client.distill.run import Distillation, DistillationResult, distill, valid
from medforge.client.distill.score import Candidate, better, score_distilled
from medforge.distilled import DistilledDataset, check_distilled
from medforge.errors import CorruptFile, MedForgeError
from tests.client.tasks import DISTILL, make_task


@pytest.fixture(scope="module")
def distilled(tiny_base: BaseModule) -> DistillationResult:
    return distill(tiny_base, make_task(), DISTILL, seed=3)


def test_the_result_is_a_sound_dataset_in_the_valid_range(tiny_base: BaseModule, distilled: DistillationResult) -> None:
    dataset = distilled.dataset
    check_distilled(dataset, tiny_base)
    assert dataset.images.dtype == torch.float16
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
    images = dataset.images.float()
    torch.testing.assert_close(valid(images, tiny_base), images, atol=2e-3, rtol=0)


def test_learned_images_teach_what_noise_does_not(tiny_base: BaseModule, distilled: DistillationResult) -> None:
    noise = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    dataset = DistilledDataset(noise.half(), distilled.dataset.labels, distilled.dataset.prompts)
    chance = score_distilled(dataset, tiny_base, make_task(), DISTILL, 3, 0)
    assert distilled.best.acc >= 0.9
    assert distilled.best.acc > chance.acc


def test_the_best_candidate_on_validation_is_chosen(tiny_base: BaseModule, distilled: DistillationResult) -> None:
    assert [candidate.step for candidate in distilled.candidates] == [15, 30]
    assert all(not better(candidate, distilled.best) for candidate in distilled.candidates)
    again = score_distilled(distilled.dataset, tiny_base, make_task(), DISTILL, 3, distilled.best.step)
    assert again == distilled.best


def test_better_means_accuracy_then_loss_then_the_earlier() -> None:
    old = Candidate(1, 0.5, 1.0)
    assert better(old, None)
    assert better(Candidate(2, 0.6, 2.0), old)
    assert better(Candidate(2, 0.5, 0.9), old)
    assert not better(Candidate(2, 0.5, 1.0), old)


def test_clamping_at_each_step_keeps_pixels_valid(tiny_base: BaseModule) -> None:
    run = Distillation(tiny_base, make_task(), DISTILL.model_copy(update={"clamp_each_step": True}), seed=3)
    run.advance()
    assert torch.equal(run.pixels, valid(run.pixels, tiny_base))


def test_the_pixel_rate_falls_with_the_cosine_and_is_what_the_step_uses(tiny_base: BaseModule) -> None:
    recipe = DISTILL.model_copy(update={"pixel_schedule": "cosine", "steps": 4, "pixel_lr": 8.0, "pixel_momentum": 0.0})
    rates = [recipe.pixel_rate(step) for step in range(4)]
    assert rates == pytest.approx([8.0, 4 + 4 * 0.5**0.5, 4.0, 4 - 4 * 0.5**0.5])
    assert [DISTILL.pixel_rate(step) for step in (0, 17)] == [20, 20]
    run = Distillation(tiny_base, make_task(), recipe, seed=3)
    for rate in rates:
        before = run.pixels.detach().clone()
        run.advance()
        assert run.pixels.grad is not None
        torch.testing.assert_close(run.pixels.detach(), before - rate * run.pixels.grad)


def test_valid_pixels_are_what_bytes_can_become(tiny_base: BaseModule) -> None:
    extremes = tiny_base.normalise(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4))
    clamped = valid(torch.stack([torch.full((3, 4, 4), -99.0), torch.full((3, 4, 4), 99.0)]), tiny_base)
    torch.testing.assert_close(clamped, extremes)


def test_mistakes_are_named(tiny_base: BaseModule, tmp_path: Path) -> None:
    with pytest.raises(
        MedForgeError, match=r"distillation diverged .* lower the rate, e\.g\. --recipe-set distill\.pixel_lr"
    ):
        distill(tiny_base, make_task(), DISTILL.model_copy(update={"pixel_lr": 1e38}), seed=0)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"nothing of use")
    with pytest.raises(CorruptFile, match="is damaged; delete it"):
        distill(tiny_base, make_task(), DISTILL, seed=0, checkpoint_dir=tmp_path)
