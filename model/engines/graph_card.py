"""What an ONNX graph says of itself, as metadata: which classes its numbers are of, and who answers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from medforge.declared_task import TaskClass
from medforge.image_geometry import ImageGeometry
from medforge.manifest import Quantiles

METADATA_KEY = "medforge"


class GraphTask(BaseModel):
    """Name a task and its classes; ``distances`` are quantiles of how far its sites' images lie, if they are known."""

    model_config = ConfigDict(frozen=True)

    name: str
    classes: tuple[TaskClass, ...]
    distances: Quantiles | None = None


class GraphCard(BaseModel):
    """Hold the tasks of a graph, the branches (by digest) behind each of its networks, and the side of its images.

    ``geometry`` is how images become squares of that side; None, in graphs of earlier versions, is CLIP's own way.

    ``measures`` says whether it knows distances at all.
    """

    model_config = ConfigDict(frozen=True)

    format: int = Field(default=1, ge=1, le=1)
    size: int
    base: str
    measures: bool
    tasks: tuple[GraphTask, ...]
    networks: tuple[tuple[str, ...], ...]
    geometry: ImageGeometry | None = None
