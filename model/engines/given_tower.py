"""Towers that run outside PyTorch, from a graph that is given its sites' weights: ONNX Runtime and OpenVINO."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medforge import __version__
from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import new_directory
from medforge.model.checks import GRAPH_FILE
from medforge.model.engines.onnx import import_onnxruntime
from medforge.model.engines.tower_graph import write_tower
from medforge.torch_tower import Group

Array = NDArray[np.float32]

TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}
"""By which share of an embedding's length a tower's may be off PyTorch's in fp32, by what it computes in."""


class GivenTower(ABC):
    """Run the tower's graph on the CPU, once a network; see `medforge.encoder.Tower`.

    What it computes is compared with PyTorch before it is used. Raises InvalidInput for a base module that is not in
    fp32 on the CPU, and where the results differ.
    """

    def __init__(self, base: BaseModule, dtype: str = "fp32") -> None:
        if base.device.type != "cpu" or base.dtype != torch.float32:
            raise InvalidInput("this engine takes the base module in fp32 on the CPU; leave --device and --dtype out")
        self._base = base
        self._own = [base.weight(site).detach().numpy() for site in base.sites]
        path = kept_graph(base)
        try:
            self._open(path, dtype, torch.get_num_threads())
        except InvalidInput:
            raise
        except Exception as error:  # of the engine's own classes
            rmtree(path.parent, ignore_errors=True)
            reason = str(error).strip().splitlines()[0][:200]
            raise CorruptFile(f"the tower's graph at {path} cannot be run ({reason}); start again") from error
        self._prove(TOLERANCE[dtype])

    @abstractmethod
    def _open(self, path: Path, dtype: str, threads: int) -> None:
        """Load the graph."""

    @abstractmethod
    def _run(self, inputs: Sequence[Array]) -> Array:
        """Return embeddings [n, d] of images [n, 3, S, S] and the sites' weights, in the graph's order."""

    def embed(self, images: Tensor, groups: Sequence[Group]) -> Tensor:
        """Return embeddings [n, d], float32, of normalised images in the order of their groups."""
        parts = images.detach().split([group.size for group in groups])
        found = [self._run([part.numpy(), *self._weights(group)]) for part, group in zip(parts, groups, strict=True)]
        return torch.from_numpy(np.concatenate(found)) if found else torch.empty(0, self._base.embed_dim)

    def _weights(self, group: Group) -> list[Array]:
        if not group.weights:
            return self._own
        return [
            group.weights[site].numpy() if site in group.weights else own
            for site, own in zip(self._base.sites, self._own, strict=True)
        ]

    def _prove(self, tolerance: float) -> None:
        size = self._base.image_size
        images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        due = self._base.embed_all(images)
        # other weights than the base's, so that a graph which holds the base's own is found out
        change = {site: -0.5 * self._base.weight(site) for site in self._base.sites}
        for weights, expected in (({}, due), (self._base.merged(change), self._base.embed_all(images, change))):
            off = float((self.embed(images, [Group(2, weights)]) - expected).norm() / expected.norm())
            if not off <= tolerance:
                raise InvalidInput(f"this engine embeds images by {off:.2g} otherwise than torch; use --engine torch")


class OnnxTower(GivenTower):
    """Run the tower with ONNX Runtime, in fp32."""

    def _open(self, path: Path, dtype: str, threads: int) -> None:
        options = import_onnxruntime().SessionOptions()
        options.intra_op_num_threads = threads
        self._session = import_onnxruntime().InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = [one.name for one in self._session.get_inputs()]

    def _run(self, inputs: Sequence[Array]) -> Array:
        found: Array = self._session.run(None, dict(zip(self._names, inputs, strict=True)))[0]
        return found


class OpenVinoTower(GivenTower):
    """Run the tower with OpenVINO, in fp32 or, where the processor has it, bf16."""

    def _open(self, path: Path, dtype: str, threads: int) -> None:
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[dtype],
            "PERFORMANCE_HINT": "LATENCY",
        }
        core = import_openvino().Core()
        self._request: Any = core.compile_model(core.read_model(str(path)), "CPU", settings).create_infer_request()

    def _run(self, inputs: Sequence[Array]) -> Array:
        found: Array = self._request.infer(list(inputs), share_inputs=True)[0].copy()
        return found


def import_openvino() -> Any:
    """Return the module openvino; raises InvalidInput where it is not installed."""
    try:
        import openvino
    except ImportError as error:
        raise InvalidInput("openvino is not installed; install medforge[openvino]") from error
    return openvino


def kept_graph(base: BaseModule) -> Path:
    """Return where the graph of a base's tower is kept in the user's cache, written if it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = cache / "medforge" / "towers" / f"{base.fingerprint}-{__version__}"
    if not (kept / GRAPH_FILE).is_file():
        try:
            with new_directory(kept) as directory:
                write_tower(base, directory / GRAPH_FILE)
        except OSError as error:
            # another process may have been first, and wrote the same
            if not (kept / GRAPH_FILE).is_file():
                raise InvalidInput(
                    f"cannot keep a graph at {kept}: {error.strerror or error}; set XDG_CACHE_HOME"
                ) from error
    return kept / GRAPH_FILE
