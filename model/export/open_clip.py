"""A directory that open_clip loads by itself: configuration, weights, and the classes' prompts as tokens."""

from __future__ import annotations

from pathlib import Path

import open_clip
from safetensors.torch import save
from torch import Tensor

from medforge.model.export.own_model import own_logits, own_state, write_config
from medforge.model.export.prompts import asking_lines, write_prompts
from medforge.model.network import Network

WEIGHTS_FILE = "open_clip_model.safetensors"


def write(network: Network, directory: Path) -> str:
    """Write the directory; return the Python lines that use it there."""
    write_config(network.base, directory)
    (directory / WEIGHTS_FILE).write_bytes(save(own_state(network.base, network.merged), {"format": "pt"}))
    write_prompts(network, directory)
    return f"""\
import json, open_clip, torch
from PIL import Image

model, preprocess = open_clip.create_model_from_pretrained("local-dir:.")
{asking_lines(network)}"""


def logits(network: Network, directory: Path, images: Tensor, tokens: Tensor) -> Tensor:
    """Return what open_clip makes of normalised images and tokens with the directory alone; [n, C]."""
    return own_logits(open_clip.create_model(f"local-dir:{directory}").eval(), images, tokens)
