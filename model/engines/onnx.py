"""Run a merged model with ONNX Runtime, from the graph that `medforge export --to onnx` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from medforge.errors import CorruptFile, InvalidInput
from medforge.image_geometry import ImageGeometry
from medforge.model.answering import Answering
from medforge.model.checks import GRAPH_FILE
from medforge.model.engines.graph_card import METADATA_KEY, GraphCard, GraphTask
from medforge.prediction import Prediction
from medforge.ranking import rank_classes
from medforge.task_spread import furthest, percentiles


class OnnxModel(Answering):
    """Answer as `MergedModel` does, by a graph in ``directory``, with ONNX Runtime on the CPU.

    Raises InvalidInput without onnxruntime or without the graph, CorruptFile for a graph that MedForge did not write.
    """

    def __init__(self, directory: Path, threads: int = 0) -> None:
        onnxruntime = import_onnxruntime()
        path = directory / GRAPH_FILE
        if not path.is_file():
            raise InvalidInput(f"{directory} has no {GRAPH_FILE}; make it with `medforge export --to onnx`")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.card = GraphCard.model_validate_json(metadata[METADATA_KEY])
        except (KeyError, ValidationError) as error:
            raise CorruptFile(f"{path} is no graph of this version of MedForge; export the model again") from error
        except Exception as error:  # of ONNX Runtime's own classes, which have no common one
            reason = str(error).strip().splitlines()[0][:200]
            raise CorruptFile(f"{path} cannot be run ({reason}); export the model again") from error

    @property
    def tasks(self) -> tuple[GraphTask, ...]:
        """The tasks that it answers, each with its classes."""
        return self.card.tasks

    @property
    def geometry(self) -> ImageGeometry:
        """How an image becomes the square that the graph takes."""
        return self.card.geometry or ImageGeometry(size=self.card.size)

    def who(self, branch: str) -> str:
        """Return a branch's first letters: a graph names no contributors."""
        return branch[:8]

    def about(self) -> dict[str, str | None]:
        """Return the base module's fingerprint; a graph names neither forge item nor commit."""
        return {"item": None, "commit": None, "base": self.card.base}

    def run(self, pixels: NDArray[np.uint8], task: str | None = None) -> dict[str, Tensor]:
        """Return what the graph says of pixels [n, 3, S, S], by the names of its outputs (see `OUTPUTS`)."""
        prior = np.array([0.0 if task in (None, one.name) else -np.inf for one in self.tasks])
        names = [output.name for output in self._session.get_outputs()]
        found = self._session.run(names, {"pixels": pixels, "task_log_prior": prior})
        return {name: torch.from_numpy(np.array(one)) for name, one in zip(names, found, strict=True)}

    def _answer(self, pixels: NDArray[np.uint8], top: int, task: str | None, threshold: float) -> Iterator[Prediction]:
        found = self.run(pixels, task)
        parts = found["class_probability"].double().split([len(one.classes) for one in self.tasks], dim=1)
        asked = [index for index, one in enumerate(self.tasks) if task in (None, one.name)]
        tasks = [self.tasks[index] for index in asked]
        of_task = found["task_probability"].double()[:, asked]
        ranked = rank_classes(tasks, of_task, [parts[index] for index in asked], top)
        names = [one.name for one in self.tasks]
        for row, ranking in enumerate(ranked):
            index = names.index(ranking[0].task)
            yield Prediction(
                ranking=ranking,
                answered_by=self.card.networks[int(found["network"][row, index])],
                **self._place(index, found["distance"][row, index], threshold),
            )

    def _place(self, index: int, distance: Tensor, threshold: float) -> dict[str, Any]:
        """Return how far off an image is, and whether it is too far for the task."""
        if not self.card.measures:
            return {"distance": None, "percentile": None, "none_of_these": False}
        known = self.tasks[index].distances
        share, limit = percentiles(known, distance.double().reshape(1)), furthest(known, threshold)
        return {
            "distance": float(distance),
            "percentile": None if share is None else float(share),
            "none_of_these": limit is not None and float(distance) > limit,
        }


def import_onnxruntime() -> Any:
    """Return the module onnxruntime; raises InvalidInput where it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InvalidInput("onnxruntime is not installed; install medforge[onnx]") from error
    return onnxruntime
