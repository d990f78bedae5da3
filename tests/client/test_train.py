import json
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
import torch

from medforge.adapt import adapt
from medforge.base import BaseModule, load_base
from medforge.client.augment import jitter, mirror
from medforge.client.evaluate import score_base, score_plugin
from medforge.client.fit import fit_step, learning_rate, make_optimiser, trainable
from medforge.client.recipe import TrainRecipe
from medforge.client.recipes import RECIPES, TINY, change_recipe, recipe_for, with_plugin
from medforge.client.train import Epoch, Training, TrainingResult, better, train
from medforge.errors import BaseMismatch, CorruptFile, InvalidInput, MedForgeError
from medforge.plugin import PluginKind
from medforge.progress import Progress
from tests.client.tasks import TRAIN, make_split, make_task
from tests.making import make_plugin


@pytest.fixture(scope="module", params=get_args(PluginKind))
def recipe(request: pytest.FixtureRequest) -> TrainRecipe:
    """The test recipe, for every kind of plugin; E of an SVD-LoRA starts from zero and has few steps."""
    alpha = 400 if request.param == "svd-lora" else TRAIN.plugin.alpha
    plugin = TRAIN.plugin.model_copy(update={"kind": request.param, "alpha": alpha})
    return TRAIN.model_copy(update={"plugin": plugin})


@pytest.fixture(scope="module")
def trained(tiny_base: BaseModule, recipe: TrainRecipe) -> TrainingResult:
    return train(tiny_base, make_task(), recipe, seed=7)


def files(result: TrainingResult) -> dict[str, bytes]:
    return result.plugin.files()


def test_a_plugin_learns_its_task(tiny_base: BaseModule, trained: TrainingResult, recipe: TrainRecipe) -> None:
    assert trained.plugin.settings.kind == recipe.plugin.kind
    assert trained.best.acc >= 0.9
    assert trained.best.acc > score_base(tiny_base, make_task(), "validation").acc or trained.best.acc == 1
    assert trained.history[-1].train_loss < trained.history[0].train_loss


def test_the_best_epoch_on_validation_is_returned(tiny_base: BaseModule, trained: TrainingResult) -> None:
    metrics = score_plugin(trained.plugin, tiny_base, make_task(), "validation")
    assert metrics.acc == pytest.approx(trained.best.acc)
    assert metrics.loss == pytest.approx(trained.best.loss, rel=1e-3)
    assert trained.best.acc == max(epoch.acc for epoch in trained.history)


def test_better_means_accuracy_then_loss_then_the_earlier() -> None:
    def epoch(acc: float, loss: float) -> Epoch:
        return Epoch(1, 0.0, loss, acc, None)

    assert better(epoch(0.1, 9), None)
    assert better(epoch(0.6, 9), epoch(0.5, 1))
    assert better(epoch(0.5, 1), epoch(0.5, 2))
    assert not better(epoch(0.5, 1), epoch(0.5, 1))


def test_frozen_weights_stay_and_get_no_gradient(tiny_base: BaseModule) -> None:
    before = {name: p.clone() for name, p in tiny_base.named_parameters()}
    train(tiny_base, make_task(), TRAIN.model_copy(update={"epochs": 1}), seed=0)
    for name, parameter in tiny_base.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, before[name])


def test_equal_seeds_train_equal_bytes_and_others_do_not(
    tiny_base: BaseModule, trained: TrainingResult, recipe: TrainRecipe
) -> None:
    torch.manual_seed(99)  # the caller's own random state must not matter
    state = torch.get_rng_state()
    assert files(train(tiny_base, make_task(), recipe, seed=7)) == files(trained)
    assert torch.equal(torch.get_rng_state(), state)
    assert files(train(tiny_base, make_task(), recipe, seed=8)) != files(trained)


def test_training_goes_on_from_a_checkpoint_to_the_same_bytes(
    tiny_base: BaseModule, trained: TrainingResult, recipe: TrainRecipe, tmp_path: Path
) -> None:
    from medforge.client.checkpoint import Checkpoint

    first = Training(tiny_base, make_task(), recipe, seed=7)
    with Progress("training", 2) as bar:
        first.run_epoch(bar)
        first.run_epoch(bar)
    Checkpoint(tmp_path / "checkpoint.safetensors", first.identity()).save(*first.state())
    continued = train(tiny_base, make_task(), recipe, seed=7, checkpoint_dir=tmp_path)
    assert files(continued) == files(trained)
    assert continued.history == trained.history


def test_a_checkpoint_of_another_run_is_refused(tiny_base: BaseModule, tmp_path: Path) -> None:
    short = TRAIN.model_copy(update={"epochs": 1})
    train(tiny_base, make_task(), short, seed=7, checkpoint_dir=tmp_path)
    with pytest.raises(InvalidInput, match=r"belongs to a run with other settings.*delete it to start anew"):
        train(tiny_base, make_task(), short, seed=8, checkpoint_dir=tmp_path)


def test_a_damaged_checkpoint_is_named(tiny_base: BaseModule, tmp_path: Path) -> None:
    short = TRAIN.model_copy(update={"epochs": 1})
    train(tiny_base, make_task(), short, seed=7, checkpoint_dir=tmp_path)
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CorruptFile, match=r"checkpoint\.safetensors is damaged; delete it"):
        train(tiny_base, make_task(), short, seed=7, checkpoint_dir=tmp_path)


def test_divergence_is_said_with_a_remedy(tiny_base: BaseModule) -> None:
    model = adapt(tiny_base, TRAIN.plugin, 0)
    optimiser = make_optimiser(list(trainable(model).values()), TRAIN)
    images = torch.full((2, 3, 32, 32), float("inf"))
    with pytest.raises(MedForgeError, match="training diverged .*; lower the rate"):
        fit_step(model, tiny_base, optimiser, images, torch.tensor([0, 1]), ("a", "b"), TRAIN, 0.1)


def test_plugin_stays_float32_on_a_bf16_base(tiny_spec: str) -> None:
    base = load_base(tiny_spec, device="cpu", dtype="bf16")
    training = Training(base, make_task(), TRAIN, seed=0)
    with Progress("training", 3) as bar:
        epoch = training.run_epoch(bar)
    assert {p.dtype for p in training.parameters.values()} == {torch.float32}
    assert 0 <= epoch.acc <= 1


def test_progress_file_tells_where_training_is(tiny_base: BaseModule, tmp_path: Path) -> None:
    train(tiny_base, make_task(), TRAIN, seed=7, progress_file=tmp_path / "progress.json")
    state = json.loads((tmp_path / "progress.json").read_bytes())
    assert (state["stage"], state["step"], state["total"]) == ("training", 12, 12)


@pytest.mark.parametrize(("mode", "count"), [("none", 1), ("flip", 2), ("dihedral", 8)])
def test_mirroring_reaches_each_symmetry_and_nothing_else(mode: str, count: int) -> None:
    image = torch.arange(48.0).view(3, 4, 4)
    symmetries = [torch.rot90(x, k, (-2, -1)) for x in (image, image.flip(-1)) for k in range(4)]
    allowed = {"none": symmetries[:1], "flip": [symmetries[0], symmetries[4]], "dihedral": symmetries}[mode]
    out = mirror(image.expand(200, 3, 4, 4), mode, torch.Generator().manual_seed(0))
    seen = {next(i for i, s in enumerate(allowed) if torch.equal(s, x)) for x in out}
    assert len(seen) == count


def test_jitter_changes_each_image_a_little_and_none_at_zero() -> None:
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(images, 9, 1, 4)
    assert torch.equal(jitter(smooth, 0, torch.Generator()), smooth)
    changed = jitter(smooth, 1, torch.Generator().manual_seed(1))
    assert torch.equal(changed, jitter(smooth, 1, torch.Generator().manual_seed(1)))
    differences = (changed - smooth).abs().mean(dim=(1, 2, 3))
    assert float(differences.min()) > 0.005
    assert float(differences.max()) < 0.25
    assert len(set(differences.tolist())) == 8


def test_images_are_mirrored_only_where_the_task_allows_it(tiny_base: BaseModule) -> None:
    unmirrored = TRAIN.model_copy(update={"augment": "none"})
    kept, plain = (train(tiny_base, make_task(flip=False), recipe, seed=7) for recipe in (TRAIN, unmirrored))
    assert files(kept) == files(plain)
    assert files(train(tiny_base, make_task(flip=True), TRAIN, seed=7)) != files(plain)


def test_learning_rate_rises_then_falls() -> None:
    recipe = TrainRecipe(lr=1.0, schedule="cosine", warmup=0.2)
    rates = [learning_rate(recipe, step, 20) for step in range(20)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 1
    assert all(a > b > 0 for a, b in pairwise(rates[4:]))
    assert {learning_rate(TrainRecipe(lr=0.3), step, 9) for step in range(9)} == {0.3}


def test_epochs_are_cut_to_the_allowed_steps() -> None:
    assert TrainRecipe(epochs=10).epochs_for(7) == 10
    assert TrainRecipe(epochs=10, max_steps=30).epochs_for(7) == 4
    assert TrainRecipe(epochs=10, max_steps=3).epochs_for(7) == 1


def test_paper_recipe_has_the_papers_numbers() -> None:
    recipe = recipe_for("ViT-B-16/openai")
    assert (recipe.name, recipe.train.epochs, recipe.train.batch) == ("paper", 100, 64)
    assert (recipe.train.lr, recipe.train.momentum, recipe.train.weight_decay) == (0.01, 0.9, 5e-4)
    assert (recipe.train.plugin.rank, recipe.train.plugin.alpha, recipe.train.plugin.dropout) == (16, 16, 0.1)
    assert (recipe.distill.ipc, recipe.distill.steps, recipe.distill.score_steps) == (20, 5000, 1000)
    assert recipe_for("medforge-tiny") is TINY


def test_a_plugin_kind_brings_its_own_settings() -> None:
    assert with_plugin(TINY, "lora") == TINY
    published = with_plugin(RECIPES["paper"], "svd-lora").train
    assert (published.plugin.kind, published.plugin.rank, published.epochs) == ("svd-lora", 4, 100)
    assert (published.lr, published.orthogonality) == (3e-4, 1)
    assert with_plugin(TINY, "svd-lora").train.plugin.scaling == 10
    assert with_plugin(TINY, "dora").train.plugin.kind == "dora"
    with pytest.raises(InvalidInput, match="no plugin kind 'big'; choose one of lora, dora, svd-lora"):
        with_plugin(TINY, "big")


def test_the_orthogonality_penalty_makes_an_svd_loras_factors_orthonormal(tiny_base: BaseModule) -> None:
    settings = TRAIN.plugin.model_copy(update={"kind": "svd-lora", "alpha": 80})
    longer = TRAIN.model_copy(update={"plugin": settings, "epochs": 20})
    drifts = []
    for weight in (1.0, 0.0):
        trained = train(tiny_base, make_task(), longer.model_copy(update={"orthogonality": weight}), seed=7).plugin
        grams = [factors.up.T @ factors.up for factors in trained.factors.values()]
        drifts.append(max(float((gram - torch.eye(4)).norm()) for gram in grams))
    assert drifts[0] < 0.5 < drifts[1]


def test_recipe_settings_can_be_changed_and_mistakes_are_named() -> None:
    changed = change_recipe(
        TINY, ["train.lr=0.5", "train.max_steps=none", "distill.ranges.rotate=0", "train.plugin.rank=2"]
    )
    assert (changed.train.lr, changed.train.max_steps) == (0.5, None)
    assert (changed.distill.ranges.rotate, changed.train.plugin.rank) == (0, 2)
    for wrong in ("train.lr", "lr=1", "name=x", "train=1", "train.nothing=1", "train.plugin.rank.x=1"):
        with pytest.raises(InvalidInput, match=r"train\.(NAME=VALUE|nothing)"):
            change_recipe(TINY, [wrong])
    with pytest.raises(InvalidInput, match=r"setting train\.lr cannot be '-1'; input should be greater than 0"):
        change_recipe(TINY, ["train.lr=-1"])
    with pytest.raises(InvalidInput, match="no recipe 'huge'; choose one of demo, paper, tiny"):
        recipe_for("medforge-tiny", "huge")


def test_plugin_of_another_base_is_refused(tiny_base: BaseModule) -> None:
    plugin = make_plugin(tiny_base)
    object.__setattr__(plugin, "base_fingerprint", "0" * 64)
    with pytest.raises(BaseMismatch, match="another base module"):
        score_plugin(plugin, tiny_base, make_task(), "validation")


def test_slides_are_scored_as_one(tiny_base: BaseModule) -> None:
    from medforge.client.evaluate import score_split

    split = make_split(4, 0)
    grouped = type(split)(split.images, split.labels, ("a", "b", "a", "b"))
    logits = torch.tensor([[3.0, 0], [0, 3], [0, 1], [1, 0]])  # each slide right on average, one patch of it wrong
    assert score_split(lambda images: logits, tiny_base, grouped, by_group=False).acc == 0.5
    assert score_split(lambda images: logits, tiny_base, grouped, by_group=True).acc == 1.0
