"""What every distillation method must do, whichever it is."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from medforge.base import BaseModule
from medforge.client.checkpoint import Checkpoint
from medforge.client.distill.run import METHODS, Distillation, distill, valid
from medforge.client.recipe import DistillMethod, DistillRecipe
from medforge.client.recipes import RECIPES, change_recipe, recipe_for, with_method
from medforge.errors import InvalidInput
from tests.client.tasks import DISTILL, make_task

OWN = {"dc-dsa": {"pixel_lr": 0.1, "outer": 2, "inner": 2}}
every_method = pytest.mark.parametrize("method", METHODS)
siamese = pytest.mark.parametrize("method", [name for name in METHODS if name.endswith("dsa")])


def recipe_of(method: DistillMethod, **changes: object) -> DistillRecipe:
    return DISTILL.model_copy(update={"method": method, "steps": 6, "score_steps": 2, **OWN.get(method, {}), **changes})


def take_step(base: BaseModule, recipe: DistillRecipe, seed: int, number: int, start: Tensor) -> tuple[float, Tensor]:
    pixels = nn.Parameter(start.clone())
    method = METHODS[recipe.method](base, make_task(), recipe, seed, None)
    loss = method.step(pixels, torch.optim.SGD([pixels], lr=recipe.pixel_lr), number)
    return loss, pixels.detach()


def noise() -> Tensor:
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def real_images(base: BaseModule, per_class: int) -> Tensor:
    """All training images of a task that has `per_class` of each class, ordered by class."""
    task = make_task(train=2 * per_class)
    return base.normalise(task.train.images[torch.argsort(task.train.labels, stable=True)]).float()


@every_method
def test_a_step_changes_every_image_by_finite_amounts(tiny_base: BaseModule, method: DistillMethod) -> None:
    loss, pixels = take_step(tiny_base, recipe_of(method), 0, 0, noise())
    assert 0 < loss < float("inf")
    assert pixels.isfinite().all()
    assert ((pixels - noise()).flatten(1).abs().sum(dim=1) > 0).all()


@every_method
def test_a_step_depends_on_seed_and_number_and_on_nothing_else(tiny_base: BaseModule, method: DistillMethod) -> None:
    recipe = recipe_of(method)
    loss, pixels = take_step(tiny_base, recipe, 3, 5, noise())
    torch.manual_seed(99)
    again = take_step(tiny_base, recipe, 3, 5, noise())
    assert again[0] == loss
    assert torch.equal(again[1], pixels)
    for seed, number in ((4, 5), (3, 6)):
        assert not torch.equal(take_step(tiny_base, recipe, seed, number, noise())[1], pixels)


@every_method
def test_frozen_weights_get_no_gradient(tiny_base: BaseModule, method: DistillMethod) -> None:
    take_step(tiny_base, recipe_of(method), 0, 0, noise())
    assert all(parameter.grad is None for parameter in tiny_base.parameters())


@every_method
@pytest.mark.parametrize("number", range(4))
def test_the_real_images_themselves_are_at_distance_zero(
    tiny_base: BaseModule, method: DistillMethod, number: int
) -> None:
    """So both sides get the same draw: two draws of the same images are apart, as the next test shows."""
    real = real_images(tiny_base, 6)
    recipe = recipe_of(method, ipc=6, real_batch=6, **({"outer": 1} if method == "dc-dsa" else {}))
    task = make_task(train=12)
    losses = []
    for start in (real, real.flip(0)):  # the second has the classes exchanged
        pixels = nn.Parameter(start.clone())
        made = METHODS[method](tiny_base, task, recipe, 0, None)
        losses.append(made.step(pixels, torch.optim.SGD([pixels], lr=recipe.pixel_lr), number))
    assert losses[0] < 1e-3 * losses[1]


@siamese
def test_another_draw_of_the_same_images_is_far(tiny_base: BaseModule, method: DistillMethod) -> None:
    """Learned images that are the real ones after one operation are at distance zero only where there is no other."""
    real = real_images(tiny_base, 6)
    recipe = recipe_of(method, ipc=6, real_batch=6, strategy="flip", **({"outer": 1} if method == "dc-dsa" else {}))
    mirrored = recipe.model_copy(update={"ranges": recipe.ranges.model_copy(update={"flip": 1.0})})
    task = make_task(train=12)
    losses = []
    for start, chosen in ((real, mirrored), (real.flip(-1), mirrored)):
        pixels = nn.Parameter(start.clone())
        made = METHODS[method](tiny_base, task, chosen, 0, None)
        losses.append(made.step(pixels, torch.optim.SGD([pixels], lr=recipe.pixel_lr), 0))
    assert losses[0] < 1e-3 * losses[1]


@every_method
def test_only_siamese_methods_look_at_the_strategy(tiny_base: BaseModule, method: DistillMethod) -> None:
    steps = [take_step(tiny_base, recipe_of(method, strategy=s), 0, 0, noise()) for s in ("color", "cutout")]
    assert torch.equal(steps[0][1], steps[1][1]) == (not method.endswith("dsa"))


@every_method
def test_pixels_stay_valid_where_the_recipe_says_so(tiny_base: BaseModule, method: DistillMethod) -> None:
    run = Distillation(tiny_base, make_task(), recipe_of(method, clamp_each_step=True, pixel_lr=20), seed=3)
    run.advance()
    assert torch.equal(run.pixels, valid(run.pixels, tiny_base))


@every_method
def test_equal_seeds_learn_equal_bytes(tiny_base: BaseModule, method: DistillMethod) -> None:
    short = recipe_of(method, steps=2, candidates=1)
    first, second, other = (distill(tiny_base, make_task(), short, seed).dataset for seed in (3, 3, 4))
    assert first.digest == second.digest
    assert first.digest != other.digest


@every_method
def test_a_killed_run_goes_on_to_the_same_bytes(tiny_base: BaseModule, method: DistillMethod, tmp_path: Path) -> None:
    recipe = recipe_of(method)
    undisturbed = distill(tiny_base, make_task(), recipe, seed=3)
    killed = Distillation(tiny_base, make_task(), recipe, seed=3)
    for _ in range(3):
        killed.advance()
    killed.score()
    killed.advance()
    Checkpoint(tmp_path / "checkpoint.safetensors", killed.identity()).save(*killed.state())
    continued = distill(tiny_base, make_task(), recipe, seed=3, checkpoint_dir=tmp_path)
    assert continued.dataset.digest == undisturbed.dataset.digest
    assert continued.candidates == undisturbed.candidates


@every_method
def test_the_checkpoint_of_another_method_is_refused(
    tiny_base: BaseModule, method: DistillMethod, tmp_path: Path
) -> None:
    other: DistillMethod = "dm" if method == "dc-dsa" else "dc-dsa"
    run = Distillation(tiny_base, make_task(), recipe_of(other), seed=3)
    Checkpoint(tmp_path / "checkpoint.safetensors", run.identity()).save(*run.state())
    with pytest.raises(InvalidInput, match="belongs to a run with other settings"):
        distill(tiny_base, make_task(), recipe_of(method), seed=3, checkpoint_dir=tmp_path)


@every_method
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_takes_the_methods_own_settings(method: DistillMethod, name: str) -> None:
    recipe = with_method(RECIPES[name], method)
    assert recipe.distill.method == method
    assert recipe.train == RECIPES[name].train
    assert change_recipe(recipe, []) == recipe
    if method == "dm-dsa":
        assert recipe == RECIPES[name]


def test_gradient_matching_has_its_published_settings() -> None:
    paper = with_method(recipe_for("ViT-B-16/openai"), "dc-dsa").distill
    assert (paper.pixel_lr, paper.network_lr, paper.steps) == (0.1, 0.01, 1000)
    loops = {ipc: paper.model_copy(update={"ipc": ipc}).loops for ipc in (1, 5, 10, 20, 30, 40, 44, 50, 200)}
    assert [loops[ipc] for ipc in (1, 10, 20, 30, 40, 50)] == [(1, 1), (10, 50), (20, 25), (30, 20), (40, 15), (50, 10)]
    assert (loops[5], loops[44], loops[200]) == (loops[1], loops[40], loops[50])
    assert paper.ipc == 20
    assert paper.model_copy(update={"outer": 3}).loops == (3, 25)
    assert paper.model_copy(update={"inner": 0}).loops == (20, 0)


def test_unknown_methods_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"no distillation method 'magic'; choose one of dm-dsa, dm, dc-dsa, lgm"):
        with_method(RECIPES["tiny"], "magic")
    with pytest.raises(InvalidInput, match=r"distill\.method cannot be 'magic'"):
        change_recipe(RECIPES["tiny"], ["distill.method=magic"])
