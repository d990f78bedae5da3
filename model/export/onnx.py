"""A whole merged model as one ONNX graph: image tower, router, experts and heads."""

from __future__ import annotations

import json
import logging
import warnings
from importlib.util import find_spec
from math import inf
from pathlib import Path

import torch
from torch import nn

from medforge.base_module import BaseModule
from medforge.errors import InvalidInput
from medforge.files import new_directory
from medforge.forge_item import Mixture, Routed
from medforge.image_geometry import ImageGeometry
from medforge.model.checks import GRAPH_FILE
from medforge.model.engines.graph_card import METADATA_KEY, GraphCard, GraphTask
from medforge.model.engines.onnx import OnnxModel
from medforge.model.export.formats import TOLERANCE
from medforge.model.export.graph import INPUTS, OUTPUTS, RoutedGraph, SingleGraph
from medforge.model.export.mixture_graph import GatedGraph, MixtureGraph
from medforge.model.export.readme import README_FILE, readme
from medforge.model.merged_model import MergedModel
from medforge.model.network import Network, choose_network, choose_task, choose_tasks
from medforge.prediction import Prediction

CLASSES_FILE = "classes.json"
_USE = """\
import numpy, onnxruntime
from PIL import Image, ImageOps

image = {image}
pixels = numpy.asarray(image).transpose(2, 0, 1)[None]
given = {{"pixels": pixels, "task_log_prior": numpy.zeros({tasks})}}
answer = onnxruntime.InferenceSession("{graph}").run(["best", "probability", "none_of_these"], given)
print(numpy.stack(answer, axis=1))  # a class's place in {classes}, its probability, whether it is none of these"""


def export_onnx(model: MergedModel, out: Path, task: str | None = None) -> tuple[str, ...]:
    """Write the graph of a merged model, or of one of its tasks, into a new or empty directory; return its tasks.

    ONNX Runtime then answers two images, before anything is at ``out``. Raises InvalidInput without the packages of
    medforge[onnx], and where the answers differ.
    """
    _check_packages()
    if isinstance(model.item, Routed) and task is not None:
        model = MergedModel(model.card, Routed((choose_task(model.item, task),)), model.base)
    network, graph, card = _graph_of(model, task)
    with new_directory(out) as directory:
        _write_graph(graph, card, directory / GRAPH_FILE)
        rows = [{"task": one.name, "key": c.key, "prompt": c.prompt} for one in card.tasks for c in one.classes]
        (directory / CLASSES_FILE).write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        _prove(model, OnnxModel(directory), task)
        use = _USE.format(
            image=_opened(model.base.preprocessing), tasks=len(card.tasks), graph=GRAPH_FILE, classes=CLASSES_FILE
        )
        (directory / README_FILE).write_text(readme(network, "An ONNX graph", use), encoding="utf-8")
    return tuple(one.name for one in card.tasks)


def _graph_of(model: MergedModel, task: str | None) -> tuple[Network, nn.Module, GraphCard]:
    base, item = model.base, model.item
    if isinstance(item, Routed):
        tasks = [
            GraphTask(name=one.card.name, classes=one.card.classes, distances=one.spread.distances)
            for one in item.tasks
        ]
        network = Network(base, {}, None, tuple(tasks))
        return network, RoutedGraph(base, item), _card(base, tasks, _branches(item), True)
    several = isinstance(item, Mixture) and not item.folds
    known = choose_tasks(model.tasks, task)
    network = Network(base, {}, None, known) if several else choose_network(item, base, known)
    if not known:
        raise InvalidInput("the model does not say which tasks it answers; check it out again")
    tasks = [GraphTask(name=one.name, classes=one.classes) for one in known]
    networks: tuple[tuple[str, ...], ...] = (tuple(one.branch for one in model.card.members),)
    graph: nn.Module
    if not isinstance(item, Mixture) or item.folds:
        graph = SingleGraph(base, network.change, known)
    elif item.gate is None:
        graph = MixtureGraph(base, item, known)
    else:
        graph = GatedGraph(base, item, item.gate, known)
        networks = tuple((member.branch,) for member in item.members)
    return network, graph, _card(base, tasks, networks, False)


def _card(base: BaseModule, tasks: list[GraphTask], networks: tuple[tuple[str, ...], ...], measures: bool) -> GraphCard:
    return GraphCard(
        size=base.image_size,
        base=base.fingerprint,
        measures=measures,
        tasks=tuple(tasks),
        networks=networks,
        geometry=base.preprocessing.geometry,
    )


def _opened(seen: ImageGeometry) -> str:
    """Return the expression of Pillow's that prepares image.png for the graph."""
    size, filter_ = (seen.size, seen.size), f"Image.Resampling.{seen.interpolation.upper()}"
    picture = 'Image.open("image.png").convert("RGB")'
    if seen.resize_mode == "squash":
        return f"{picture}.resize({size}, {filter_})"
    if seen.resize_mode == "longest":
        return f"ImageOps.pad({picture}, {size}, {filter_}, {(seen.fill,) * 3})"
    return f"ImageOps.fit({picture}, {size}, {filter_})"


def _branches(item: Routed) -> tuple[tuple[str, ...], ...]:
    """Return the branches behind every network, in the order of the graph's numbers."""
    found: list[tuple[str, ...]] = []
    for task in item.tasks:
        found.append(tuple(member.branch for member in task.card.members))
        found += [(site.card.branch,) for site in task.sites]
    return tuple(found)


def _write_graph(graph: nn.Module, card: GraphCard, path: Path) -> None:
    size, tasks = card.size, len(card.tasks)
    example = (torch.zeros(2, 3, size, size, dtype=torch.uint8), torch.zeros(tasks, dtype=torch.float64))
    logging.disable(logging.WARNING)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph.eval(),
                example,
                dynamo=True,
                input_names=list(INPUTS),
                output_names=list(OUTPUTS),
                dynamic_shapes=({0: torch.export.Dim("images")}, None),
                verbose=False,
            )
    finally:
        logging.disable(logging.NOTSET)
    assert program is not None
    program.model.metadata_props[METADATA_KEY] = card.model_dump_json()
    program.save(path)


def _check_packages() -> None:
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise InvalidInput(f"{missing[0]} is not installed; install medforge[onnx]")


def _difference(due: Prediction, found: Prediction) -> float:
    """Return by how much two answers about one image differ, in any probability or in the distance."""
    if due.answered_by != found.answered_by:
        return inf
    chances = {(one.task, one.key): one.probability for one in found.ranking}
    apart = [abs(one.probability - chances[one.task, one.key]) for one in due.ranking]
    return max(*apart, abs((due.distance or 0.0) - (found.distance or 0.0)))


def _prove(model: MergedModel, exported: OnnxModel, task: str | None) -> None:
    size = model.base.image_size
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=random).numpy()
    every = sum(len(one.classes) for one in exported.tasks)
    answers = (one.stream(pixels, top=every, task=task) for one in (model, exported))
    pairs = zip(*answers, strict=True)
    off = max(_difference(due, found) for due, found in pairs)
    if not off <= TOLERANCE:
        raise InvalidInput(
            f"the model cannot be exported to onnx: ONNX Runtime answers by {off:.2g} otherwise; export to another "
            "format, and report this"
        )
