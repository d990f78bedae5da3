import pytest
import torch

from medforge.base import BaseModule
from medforge.client.distill import start
from medforge.client.distill.run import Distillation
from medforge.client.distill.start import texture, white
from medforge.seeds import generator
from tests.client.tasks import DISTILL, make_task


def test_white_noise_has_the_asked_deviation(tiny_base: BaseModule) -> None:
    images = white(tiny_base, 8, 0.3, generator(0, "start"))
    assert images.shape == (8, 3, 32, 32)
    assert float(images.std()) == pytest.approx(0.3, rel=0.05)


def test_texture_has_the_mean_and_the_power_spectrum_of_all_images(
    tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "CHUNK", 7)  # several parts of unequal length
    task = make_task(train=24)
    real = [tiny_base.normalise(task.train.images[[n]])[0].double() for n in range(24)]
    mean = sum(real) / 24
    power = sum(torch.fft.fft2(image - mean).abs() ** 2 for image in real) / 24
    drawn = texture(tiny_base, task.train.images, 5, 1.0, generator(0, "start")).double()
    for image in drawn:
        torch.testing.assert_close(torch.fft.fft2(image - mean).abs() ** 2, power, rtol=1e-3, atol=1e-3)
    assert all(not torch.allclose(drawn[0], other, atol=0.1) for other in drawn[1:])
    weak = texture(tiny_base, task.train.images, 5, 0.25, generator(0, "start")).double()
    torch.testing.assert_close(weak - mean, 0.25 * (drawn - mean), rtol=1e-3, atol=1e-5)


def test_a_distillation_starts_as_its_recipe_says(tiny_base: BaseModule) -> None:
    task = make_task()
    chance = [generator(3, "distill", "noise") for _ in range(2)]
    expected = {
        "noise": white(tiny_base, 6, 0.5, chance[0]),
        "texture": texture(tiny_base, task.train.images, 6, 0.5, chance[1]),
    }
    for name, images in expected.items():
        recipe = DISTILL.model_copy(update={"start": name, "noise": 0.5})
        assert torch.equal(Distillation(tiny_base, task, recipe, seed=3).pixels, images)
