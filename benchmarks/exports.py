"""Measure every export: seconds to write and prove, megabytes, and by how much its own library answers otherwise.

A routed model of three tasks with random plugins is made; `onnx` takes it whole, the other formats take the first
task's expert. The seconds are the processor's, and hold the proof that is part of an export: the library that the
format is for loads what was written and is asked about two images. The difference is measured once more, on other
images: of logits, of onnx in any class's probability. The exit status is 1 where a difference is above 1e-3 (logits)
or 1e-5 (probabilities).

Run from the repository's root: ``python -m benchmarks.exports [--base SPEC] [--seed N]``; a base such as ``ViT-B-16``
gets random weights.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.inputs import open_base, options_parser
from benchmarks.prediction import TASKS, routed_model
from medforge.errors import InvalidInput
from medforge.model.engines.onnx import OnnxModel
from medforge.model.export.exporting import export_model
from medforge.model.export.formats import FORMATS, TOLERANCE
from medforge.model.merged_model import MergedModel
from medforge.model.network import choose_network

IMAGES = 8
OF_PROBABILITIES = 1e-5


def pixels(size: int, seed: int) -> torch.Tensor:
    """Draw images, uint8 [8, 3, S, S], each between noise and one grey."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, (IMAGES, 3, size, size), generator=random)
    share = torch.linspace(0, 1, IMAGES).view(-1, 1, 1, 1)
    return (share * noise + (1 - share) * 128).to(torch.uint8)


def of_logits(model: MergedModel, to: str, directory: Path, images: torch.Tensor) -> float:
    """Return the largest difference of a logit between one task's expert and what a format's library makes of it."""
    network = choose_network(model.item, model.base, model.tasks, TASKS[0])
    texts = [one.prompt for one in network.tasks[0].classes]
    normal = model.base.normalise(images).cpu()
    module = import_module(f"medforge.model.export.{FORMATS[to].module}")
    found = module.logits(network, directory, normal, model.base.tokenizer(texts))
    due = model.base.logits(model.base.embed_all(normal, network.change), texts).cpu()
    return float((found - due).abs().max())


def of_probabilities(model: MergedModel, directory: Path, images: torch.Tensor) -> float:
    """Return the largest difference of a class probability between the merged model and its graph."""
    every = sum(len(one.classes) for one in model.tasks)
    answers = (one.stream(images.numpy(), top=every) for one in (model, OnnxModel(directory)))
    apart = 0.0
    for due, found in zip(*answers, strict=True):
        chances = {(one.task, one.key): one.probability for one in found.ranking}
        apart = max(apart, *(abs(one.probability - chances[one.task, one.key]) for one in due.ranking))
    return apart


def measure(model: MergedModel, to: str, images: torch.Tensor) -> bool:
    """Export to one format and print its line; return whether its library answers alike."""
    whole = to == "onnx"
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        started = time.process_time()
        try:
            export_model(model, to, out, None if whole else TASKS[0])
        except InvalidInput as error:
            print(f"{to:12} refused: {error}")
            return True
        seconds = time.process_time() - started
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
        off = of_probabilities(model, out, images) if whole else of_logits(model, to, out, images)
    what = "probability" if whole else "logit"
    print(f"{to:12} {seconds:6.1f} s  {size:7.1f} MB  largest difference of a {what} {off:.1e}", flush=True)
    return off <= (OF_PROBABILITIES if whole else TOLERANCE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every format; return 1 where one answers otherwise."""
    parser = options_parser(__doc__, 0)
    parser.add_argument("--to", action="append", choices=list(FORMATS), help="a format; default: every one")
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    base = open_base(options.base, options.device, "fp32")
    model = routed_model(base, TASKS, options.seed)
    images = pixels(base.image_size, options.seed)
    print(f"{options.base}, seed {options.seed}, {len(TASKS)} tasks, {torch.get_num_threads()} threads")
    alike = [measure(model, to, images) for to in options.to or FORMATS]
    return 0 if all(alike) else 1


if __name__ == "__main__":
    sys.exit(main())
