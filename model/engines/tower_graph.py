"""The image tower as an ONNX graph that is given the weights of its sites, so that one graph serves every network."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medforge.base_module import BaseModule
from medforge.errors import InvalidInput

IMAGES = "images"
"""The input of normalised images, float32 [n, 3, S, S]; after it come the sites' weights, float32 [out, in]."""


class _Given:
    """Hold the weights that a tower is given, while it runs; not an attribute of a module, which may not change."""

    weights: Sequence[Tensor] = ()


class _Site(nn.Module):
    """Compute a Linear layer with the weight of its number that was given."""

    def __init__(self, layer: nn.Linear, number: int, given: _Given) -> None:
        super().__init__()
        self.bias = layer.bias
        self._number = number
        self._given = given

    @property
    def weight(self) -> Tensor:
        """The weight [out, in] that was given; some attentions take it out of the layer."""
        return self._given.weights[self._number]

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, …, in] to [n, …, out]."""
        return F.linear(x, self.weight, self.bias)


class GivenTower(nn.Module):
    """Embed normalised images by the base's tower with the weights that are given for its sites, in their order."""

    def __init__(self, base: BaseModule) -> None:
        super().__init__()
        shared = (*base.visual.parameters(), *base.visual.buffers())
        self.tower = copy.deepcopy(base.visual, {id(tensor): tensor for tensor in shared})
        self._given = _Given()
        for number, site in enumerate(base.sites):
            layer = self.tower.get_submodule(site)
            assert isinstance(layer, nn.Linear)
            above, _, name = site.rpartition(".")
            setattr(self.tower.get_submodule(above), name, _Site(layer, number, self._given))

    def forward(self, images: Tensor, weights: list[Tensor]) -> Tensor:
        """Return embeddings [n, d] of images [n, 3, S, S]."""
        self._given.weights = weights
        embedded: Tensor = self.tower(images)
        return embedded


def write_tower(base: BaseModule, path: Path) -> None:
    """Write the graph of a base's tower; raises InvalidInput without the packages of medforge[onnx]."""
    check_packages()
    size, sites = base.image_size, base.sites
    weights = [base.weight(site).detach() for site in sites]
    # dynamo's exporter says on stdout and in warnings what nobody here can act on
    logging.disable(logging.WARNING)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                GivenTower(base).eval(),
                (torch.zeros(2, 3, size, size), weights),
                dynamo=True,
                input_names=[IMAGES, *sites],
                output_names=["embeddings"],
                dynamic_shapes=({0: torch.export.Dim("images")}, [None] * len(sites)),
                verbose=False,
            )
    finally:
        logging.disable(logging.NOTSET)
    assert program is not None
    program.save(path)


def check_packages() -> None:
    """Raise InvalidInput where a package of medforge[onnx] is missing."""
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise InvalidInput(f"{missing[0]} is not installed; install medforge[onnx]")
