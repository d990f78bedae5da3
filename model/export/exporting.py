"""One export: written aside, proven by the library that it is for, then put in its place."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor

from medforge.errors import InvalidInput
from medforge.files import new_directory
from medforge.model.export.formats import FORMATS, TOLERANCE, check_format
from medforge.model.export.onnx import export_onnx
from medforge.model.export.readme import README_FILE, readme
from medforge.model.merged_model import MergedModel
from medforge.model.network import Network, choose_network

_TEXTS = ["benign tissue", "a tumour"]


class FormatModule(Protocol):
    """Name what the module of a format has."""

    def write(self, network: Network, directory: Path) -> str:
        """Write a network, and return the Python lines that use it in that directory."""

    def logits(self, network: Network, directory: Path, images: Tensor, tokens: Tensor) -> Tensor:
        """Return what the library that the format is for makes of normalised images and tokens; [n, C]."""


def export_model(model: MergedModel, to: str, out: Path, task: str | None = None) -> tuple[str, ...]:
    """Export a merged model, or one of its tasks; return the tasks that it answers there (see `export`).

    Only onnx takes a routed model as a whole; raises InvalidInput where another is asked to.
    """
    check_format(to)
    if to == "onnx":
        return export_onnx(model, out, task)
    network = choose_network(model.item, model.base, model.tasks, task)
    export(network, to, out)
    return tuple(one.name for one in network.tasks)


def export(network: Network, to: str, out: Path) -> None:
    """Write a network in a format into a new or empty directory.

    What was written is loaded again by the library that it is for, before anything is at ``out``; raises InvalidInput
    where that answers otherwise than MedForge, or cannot be told in this format.
    """
    chosen = FORMATS[to]
    module = cast(FormatModule, import_module(f"medforge.model.export.{chosen.module}"))
    with new_directory(out) as directory:
        use = module.write(network, directory)
        _prove(network, to, directory, module)
        (directory / README_FILE).write_text(readme(network, chosen.what, use), encoding="utf-8")


def _prove(network: Network, to: str, directory: Path, module: FormatModule) -> None:
    base = network.base
    size = base.image_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    texts = [one.prompt for one in network.tasks[0].classes] if network.tasks else _TEXTS
    found = module.logits(network, directory, images, base.tokenizer(texts))
    due = base.logits(base.embed_all(images, network.change), texts).cpu()
    off = float((found - due).abs().max())
    # written so that a NaN fails
    if not off <= TOLERANCE:
        raise InvalidInput(
            f"the base module cannot be exported to {to}: what was written gives logits that are off by {off:.2g}; "
            "export to another format, and report this"
        )
