"""Time a routed model's answers against plain open_clip with one merged plugin, on the same base and images.

The plain model is what anybody has who merged one plugin into the weights: open_clip's own network in eval mode,
prompts encoded once, one pass an image. A routed model makes two, of the base module and of an expert, so half the
speed is the most that can be had. Both start from decoded pixels, and take them in batches of 64; ``--decode`` adds the
decoding of JPEG files to both, one after another in the plain loop.

The same model runs once more as its ONNX graph, always from decoded pixels, and must answer alike.

The expert of a routed model of one task must answer as the plain model with its weights does, or the exit status is 1.

Run from the repository's root: ``python -m benchmarks.prediction [--base SPEC] [--dtype bf16]``; a base such as
``ViT-B-16`` gets random weights.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.inputs import image_folder, open_base, options_parser
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.data.catalogue import open_task
from medforge.client.data.pixels.decode import read_image
from medforge.client.data.pixels.files import walk
from medforge.distilled import DistilledDataset
from medforge.model.answering import BATCH
from medforge.model.decoding import decode_ahead
from medforge.model.engines.onnx import OnnxModel
from medforge.model.export.onnx import export_onnx
from medforge.model.export.own_model import own_model, own_state
from medforge.model.merged_model import MergedModel
from medforge.model.merging import merge_parts
from medforge.plugin import Factors, Plugin, PluginSettings
from medforge.routed import Routed
from medforge.seeds import generator

AGREEMENT = 1e-4
"""By how much a probability of the one expert may differ from the plain model's, in fp32."""
TASKS = ("breast", "lung", "colon")
RANK, PER_CLASS = 16, 8


def random_branch(base: BaseModule, task: str, seed: int) -> Branch:
    """Return a branch of a random plugin beside drawn tissue in the place of distilled images."""
    random = generator(seed, "benchmark", "plugin", task)
    factors = {}
    for site in base.sites:
        rows, columns = base.site_shape(site)
        down, up = torch.randn(RANK, columns, generator=random), torch.randn(rows, RANK, generator=random)
        factors[site] = Factors(0.02 * down, 0.02 * up)
    plugin = Plugin(PluginSettings(kind="lora", rank=RANK, alpha=float(RANK)), base.fingerprint, factors)
    drawn = open_task(f"tissue:{task},train={3 * PER_CLASS},validation=3,test=3", base.preprocessing, seed)
    images = base.normalise(drawn.train.images[:]).cpu().half()
    distilled = DistilledDataset(images, drawn.train.labels, tuple(drawn.prompts))
    return Branch.build(
        plugin,
        distilled,
        contributor=task,
        task=task,
        base=base,
        training_images=len(images),
        recipe="benchmark",
        seed=seed,
        validation={},
    )


def routed_model(base: BaseModule, tasks: Sequence[str], seed: int) -> MergedModel:
    """Return the routed model that a forge would make of one random branch a task."""
    merged = merge_parts([random_branch(base, task, seed) for task in tasks], base, choose_settings())
    return MergedModel(merged.card, merged.item, base)


class PlainModel:
    """Hold open_clip's own model with an expert's change in its weights, and the features of a task's prompts."""

    def __init__(self, model: MergedModel, task: int = 0) -> None:
        base, item = model.base, model.item
        assert isinstance(item, Routed)
        change = item.tasks[task].expert.weight_change(base)
        merged = {site: base.weight(site).float() + delta for site, delta in change.items()}
        self._clip: Any = own_model(base)
        self._clip.load_state_dict(own_state(base, merged))
        self._clip.to(base.device, base.dtype)
        self._base = base
        with torch.inference_mode():
            tokens = base.tokenizer(list(item.tasks[task].prompts))
            self._texts: Tensor = self._clip.encode_text(tokens.to(base.device), normalize=True)

    def answer(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return class probabilities [n, C] of decoded images, uint8 [n, 3, S, S]."""
        with torch.inference_mode():
            images = self._base.normalise(torch.from_numpy(pixels))
            found = self._clip.encode_image(images, normalize=True) @ self._texts.T
            chances: Tensor = (self._clip.logit_scale.exp() * found).float().softmax(dim=1).cpu()
        return chances


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Return the shortest of several runs after one that warms up."""
    run()
    return min(_once(run) for _ in range(repeats))


def _once(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def disagreement(base: BaseModule, pixels: NDArray[np.uint8], seed: int) -> float:
    """Return the largest difference of a class probability between one task's expert and the plain model."""
    model = routed_model(base, TASKS[:1], seed)
    assert isinstance(model.item, Routed)
    # neither discriminant nor temperature: the network alone
    logits = model.item.tasks[0].expert.logits(
        base, base.normalise(torch.from_numpy(pixels)), model.item.tasks[0].prompts
    )
    return float((logits.float().softmax(dim=1).cpu() - PlainModel(model).answer(pixels)).abs().max())


def compare(base: BaseModule, files: Sequence[Path], seed: int, repeats: int, decode: bool) -> bool:
    """Print both speeds, their ratio and the agreement; return whether they agree."""
    decoded = np.stack([read_image(path, base.image_size) for path in files])
    model = routed_model(base, TASKS, seed)
    plain = PlainModel(model)

    def routed() -> object:
        if decode:
            found = (one.pixels for one in decode_ahead(files, base.image_size) if one.pixels is not None)
            return list(model.stream(found))
        return list(model.stream(iter(decoded)))

    def alone() -> object:
        starts = range(0, len(files), BATCH)
        if decode:
            return [
                plain.answer(np.stack([read_image(p, base.image_size) for p in files[s : s + BATCH]])) for s in starts
            ]
        return [plain.answer(decoded[s : s + BATCH]) for s in starts]

    with tempfile.TemporaryDirectory() as place:
        export_onnx(model, Path(place) / "graph")
        graph = OnnxModel(Path(place) / "graph", torch.get_num_threads())
    answered = list(graph.stream(iter(decoded)))
    apart = max(abs(a.probability - b.probability) for a, b in zip(model.stream(iter(decoded)), answered, strict=True))
    # from decoded pixels, where the engines alone differ
    by_graph = seconds(lambda: list(graph.stream(iter(decoded))), repeats)
    ours, theirs = seconds(routed, repeats), seconds(alone, repeats)
    off = disagreement(base, decoded[: min(len(decoded), BATCH)], seed)
    what = "from JPEG files" if decode else "from decoded pixels"
    dtype = str(base.dtype).removeprefix("torch.")
    print(f"{base.spec} at {base.image_size}, {dtype}, {torch.get_num_threads()} threads, {len(files)} images {what}")
    print(f"plain open_clip, one merged plugin: {len(files) / theirs:8.1f} images/s")
    print(f"routed, {len(TASKS)} tasks:                    {len(files) / ours:8.1f} images/s {theirs / ours:8.2f} ×")
    print(f"the same, ONNX Runtime, decoded:    {len(files) / by_graph:8.1f} images/s {theirs / by_graph:8.2f} ×")
    print(f"the graph's probabilities and the routed model's differ by {apart:.1e} at most")
    print(f"the expert's probabilities and the plain model's differ by {off:.1e} at most")
    return base.dtype != torch.float32 or max(off, apart) <= AGREEMENT


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratio and the agreement; the exit status is 1 where fp32 differs."""
    parser = options_parser(__doc__, per_class=96)
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--decode", action="store_true", help="decode the images too")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    base = open_base(options.base, options.device, options.dtype)
    with image_folder(options.images, options.per_class, options.seed) as root:
        return 0 if compare(base, list(walk(root)), options.seed, options.repeats, options.decode) else 1


if __name__ == "__main__":
    sys.exit(main())
