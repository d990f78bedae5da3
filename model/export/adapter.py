"""A PEFT adapter directory: weights as one LoRA of scaling 1, or as a DoRA, and a configuration that says only that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.low_rank import Pair, svd_of
from medforge.model.network import Network
from medforge.peft_format import BASE_KEY, CONFIG_FILE, PREFIX, WEIGHTS_FILE


def exact_pair(network: Network, site: str) -> Pair:
    """Return float32 factors [out, r] and [r, in] whose product is the change at a site.

    They are the plugin's own where there is one of low rank, else the SVD's, of no higher rank than the change has.
    """
    pair = network.plugin.low_rank(site) if network.plugin is not None else None
    return pair or of_least_rank(network.change[site])


def of_least_rank(change: Tensor) -> Pair:
    """Return a matrix as float32 factors [out, r] and [r, in], by its SVD."""
    triples = svd_of(change)
    return (triples.left * triples.values).float(), triples.right.float()


def padded(pair: Pair, rank: int) -> Pair:
    """Return the same product with zeros up to a rank."""
    up, down = pair
    more = rank - down.shape[0]
    return torch.nn.functional.pad(up, (0, more)), torch.nn.functional.pad(down, (0, 0, 0, more))


def write_adapter(
    directory: Path,
    base: BaseModule,
    tensors: Mapping[str, Tensor],
    rank: int,
    modules: Sequence[str],
    **settings: Any,
) -> None:
    """Write the two files; ``tensors`` are named as inside the model, and ``settings`` differ from PEFT's defaults."""
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": base.facts.spec.removeprefix("hf-hub:"),
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": list(modules),
        **settings,
    }
    (directory / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    named = {f"{PREFIX}{name}": tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    data = save(named, {"format": "pt", BASE_KEY: base.fingerprint})
    (directory / WEIGHTS_FILE).write_bytes(data)
