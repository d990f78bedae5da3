"""The base module as open_clip's own model: as whoever has not MedForge loads it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import open_clip
import torch
from torch import Tensor

from medforge.base_check import EMBEDDED
from medforge.base_module import BaseModule
from medforge.model.layer_names import in_own_names

CONFIG_FILE = "open_clip_config.json"
_VISUAL = "visual."


def own_state(base: BaseModule, merged: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Return the base's state as open_clip names it, float32 on the CPU, with ``merged`` weights at some sites."""
    state = base.clip.state_dict()
    tower = {name.removeprefix(_VISUAL): tensor for name, tensor in state.items() if name.startswith(_VISUAL)}
    tower |= {f"{site}.weight": weight for site, weight in (merged or {}).items()}
    rest = {name: tensor for name, tensor in state.items() if not name.startswith(_VISUAL)}
    whole = rest | in_own_names(base.visual, tower)
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in whole.items()}


def write_config(base: BaseModule, directory: Path) -> None:
    """Write open_clip's configuration of the base.

    Its preprocessing is what MedForge does to every image, whatever the base was trained with
    (`medforge.client.data.pixels.decode`).
    """
    preprocessing = {"mean": base.mean, "std": base.std, "interpolation": "bicubic", "resize_mode": "shortest"}
    document = {"model_cfg": base.architecture, "preprocess_cfg": preprocessing}
    (directory / CONFIG_FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def own_model(base: BaseModule) -> Any:
    """Return the base as a model of open_clip's own, in eval mode on the CPU."""
    with TemporaryDirectory() as directory:
        write_config(base, Path(directory))
        # its weights are drawn, of which open_clip warns, before the base's take their place
        logging.disable(logging.WARNING)
        try:
            with torch.random.fork_rng(devices=[]):
                model = open_clip.create_model(f"local-dir:{directory}", load_weights=False)
        finally:
            logging.disable(logging.NOTSET)
    model.load_state_dict(own_state(base))
    return model.eval().requires_grad_(False)


def own_logits(model: Any, images: Tensor, tokens: Tensor) -> Tensor:
    """Return the similarity logits [n, C] that a model of open_clip's own gives images and tokens, without a bias."""
    with torch.inference_mode():
        cosines = model.encode_image(images, normalize=True) @ model.encode_text(tokens, normalize=True).T
        found: Tensor = model.logit_scale.exp() * cosines
    return found


def load_lines(base: BaseModule) -> str:
    """Return the Python lines that load the base with open_clip alone, as ``model`` with its ``preprocess``."""
    spec = base.facts.spec
    loaded = "model, preprocess = open_clip.create_model_from_pretrained"
    if spec in EMBEDDED:
        return f'{loaded}("local-dir:{spec}")  # the base, which is inside MedForge'
    architecture, _, weights = spec.partition(":" if ":" in spec else "/")
    if architecture == "hf-hub":
        return f'{loaded}("{spec}")'
    if not architecture.endswith(".json"):
        return f'{loaded}("{architecture}", pretrained="{weights}")'
    name = architecture.removesuffix(".json")
    return f'open_clip.add_model_config("{architecture}")\n{loaded}("{name}", pretrained="{weights}")'
