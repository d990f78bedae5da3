"""DP-SGD on a plugin: per-unit gradients, clipped and noised (Abadi et al. 2016); the gradients are Opacus's."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from medforge.base import BaseModule
from medforge.client.augment import jitter, mirror
from medforge.client.data.task import Task
from medforge.client.fit import trainable
from medforge.client.privacy.accounting import Mechanism, missing_opacus
from medforge.client.privacy.noise import clipped
from medforge.client.privacy.secret import NoiseSecret
from medforge.client.privacy.units import Units, of_units
from medforge.client.recipe import TrainRecipe
from medforge.errors import InvalidInput
from medforge.multi_label import classification_loss

_CHUNK = 32
"""Images whose own gradients are in memory at once."""


class PrivateSteps:
    """Write a noised gradient into a plugin's parameters, step by step; every step's chance comes from the secret.

    `batch` is the number of units that take part in a step on average. The plugin must be a LoRA, whose factors are
    Linear layers: of others Opacus knows no gradient of a single image.
    """

    def __init__(
        self,
        model: PeftModel,
        base: BaseModule,
        task: Task,
        recipe: TrainRecipe,
        mechanism: Mechanism,
        batch: int,
        clip: float,
        units: Units,
    ) -> None:
        _check_layers(model)
        self._base, self._task, self._recipe = base, task, recipe
        self._mechanism, self._batch, self._clip, self._units = mechanism, batch, clip, units
        self._parameters = trainable(model)
        self._model = _with_own_gradients(model)

    def write_gradient(self, number: int, secret: NoiseSecret) -> tuple[float, int]:
        """Set the parameters' gradients for step `number`; return the summed loss of the images and their number.

        Images are augmented, and dropped out, by the secret too: what becomes of one image then depends on no other.
        """
        drawn = self._units.draw(self._mechanism.rate, secret, "train", number)
        chance = secret.generator("train", number, "augmentation")
        totals = torch.zeros(sum(one.numel() for one in self._parameters.values()), dtype=torch.float64)
        loss, images = 0.0, 0
        devices = list(range(torch.cuda.device_count()))
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(secret.generator("train", number, "dropout").initial_seed())
            for part in _chunks(drawn):
                rows, part_loss = self.gradients(part, chance)
                totals += clipped(rows, self._clip).sum(dim=0)
                loss, images = loss + part_loss, images + sum(map(len, part))
        totals += self._mechanism.noise * self._clip * secret.normal(totals.shape, "train", number, "noise")
        parts = (totals / self._batch).split([one.numel() for one in self._parameters.values()])
        for part, parameter in zip(parts, self._parameters.values(), strict=True):
            parameter.grad = part.view_as(parameter).to(parameter.device, parameter.dtype)
        return loss, images

    def gradients(self, units: tuple[Tensor, ...], chance: torch.Generator) -> tuple[Tensor, float]:
        """Return the mean gradient of each unit's images, float32 [units, all parameters] on the CPU, and their loss.

        The loss is the sum over the images.
        """
        chosen = torch.cat(units)
        mode = self._recipe.augment if self._task.flip else "none"
        pixels = mirror(self._base.normalise(self._task.train.images[chosen]), mode, chance)
        logits = self._base.logits(self._model(jitter(pixels, self._recipe.jitter, chance)), self._task.texts)
        total = len(chosen) * classification_loss(logits, self._task.train.labels[chosen])
        for parameter in self._parameters.values():
            parameter.grad_sample = None  # type: ignore[attr-defined]
        with warnings.catch_warnings():
            # no input of the model has a gradient, and none is asked for
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            total.backward()
        rows = torch.cat([_own(parameter).flatten(1).cpu() for parameter in self._parameters.values()], dim=1)
        return of_units(rows, units), float(total.detach())


def _check_layers(model: nn.Module) -> None:
    if any(isinstance(one, nn.modules.batchnorm._BatchNorm) for one in model.modules()):
        raise InvalidInput(
            "the base module has batch normalisation, which mixes the images of a step, so that none has a gradient of "
            "its own; choose another base, or leave --epsilon out"
        )


def _with_own_gradients(model: PeftModel) -> nn.Module:
    try:
        from opacus.grad_sample import GradSampleModule
    except ImportError as error:
        raise missing_opacus() from error
    with warnings.catch_warnings():
        # of modules without a parameter that is trained, which need no rule
        warnings.simplefilter("ignore")
        wrapped: nn.Module = GradSampleModule(model, batch_first=True, loss_reduction="sum", strict=False)
    return wrapped


def _own(parameter: nn.Parameter) -> Tensor:
    found: Any = parameter.grad_sample  # type: ignore[attr-defined]
    own: Tensor = torch.stack(found).sum(dim=0) if isinstance(found, list) else found
    return own.detach().float()


def _chunks(units: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """Gather units into parts of about `_CHUNK` images; no unit is divided."""
    found: list[list[Tensor]] = []
    images = _CHUNK
    for unit in units:
        if images + len(unit) > _CHUNK:
            found.append([])
            images = 0
        found[-1].append(unit)
        images += len(unit)
    return [tuple(part) for part in found]
