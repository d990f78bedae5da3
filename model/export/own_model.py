"""The base module as open_clip's own model: as whoever has not MedForge loads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medforge.base_check import EMBEDDED
from medforge.base_module import BaseModule
from medforge.bases.building import empty_model
from medforge.bases.configuration import Configuration
from medforge.bases.spec import CONFIG_FILE, SNAPSHOTS
from medforge.model.layer_names import in_own_names

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
    """Write open_clip's configuration of the base, with the preprocessing that MedForge does to every image."""
    document = {"model_cfg": base.architecture, "preprocess_cfg": _preprocessing(base)}
    (directory / CONFIG_FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _preprocessing(base: BaseModule) -> dict[str, Any]:
    seen = base.preprocessing
    return {
        "mean": seen.mean,
        "std": seen.std,
        "interpolation": seen.interpolation,
        "resize_mode": seen.resize_mode,
        "fill_color": seen.fill,
    }


def own_model(base: BaseModule) -> Any:
    """Return the base as a model of open_clip's own, in eval mode on the CPU."""
    config = getattr(getattr(base.clip, "text", None), "config", None)
    found = Configuration(base.architecture, _preprocessing(base))
    model = empty_model(found, None if config is None else config.to_dict(), f"base module {base.spec}")
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
    if architecture in SNAPSHOTS:
        return f'{loaded}("local-dir:{weights}")'
    if not architecture.endswith(".json"):
        quick = ", force_quick_gelu=True" if base.architecture.get("quick_gelu") else ""
        return f'{loaded}("{architecture}", pretrained="{weights}"{quick}{_prepared(base)})'
    name = architecture.removesuffix(".json")
    return f'open_clip.add_model_config("{architecture}")\n{loaded}("{name}", pretrained="{weights}"{_prepared(base)})'


def _prepared(base: BaseModule) -> str:
    """Return the arguments that say how images are prepared, where open_clip would do it as for CLIP."""
    seen = base.preprocessing
    if seen.is_usual or ":" not in base.spec:
        return ""
    given = {"mean": seen.mean, "std": seen.std, "interpolation": seen.interpolation, "resize_mode": seen.resize_mode}
    return "".join(f", image_{name}={value!r}" for name, value in given.items())
