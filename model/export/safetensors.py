"""The weight change alone, by open_clip's own names: what is added to the base's weights."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from medforge.model.export.own_model import load_lines, own_logits, own_model
from medforge.model.export.prompts import asking_lines, write_prompts
from medforge.model.layer_names import in_own_names
from medforge.model.network import Network

CHANGE_FILE = "weight_change.safetensors"


def write(network: Network, directory: Path) -> str:
    """Write the change; return the Python lines that add it to a model."""
    base = network.base
    change = in_own_names(base.visual, {f"{site}.weight": part for site, part in network.change.items()})
    metadata = {"format": "pt", "base": base.fingerprint}
    named = {name: part.detach().cpu().contiguous() for name, part in change.items()}
    (directory / CHANGE_FILE).write_bytes(save(named, metadata))
    write_prompts(network, directory)
    return f"""\
import json, open_clip, torch
from PIL import Image
from safetensors.torch import load_file

{load_lines(base)}
change = load_file("{CHANGE_FILE}")
model.load_state_dict({{name: weight + change.pop(name, 0) for name, weight in model.state_dict().items()}})
assert not change  # every name was the model's
{asking_lines(network)}"""


def logits(network: Network, directory: Path, images: Tensor, tokens: Tensor) -> Tensor:
    """Return the logits [n, C] of open_clip's own base model to which the file's change was added."""
    model, change = own_model(network.base), load_file(directory / CHANGE_FILE)
    state = model.state_dict()
    # a name that the model does not have is a fault of ours, and must not pass for no change
    for name, part in change.items():
        state[name] += part
    model.load_state_dict(state)
    return own_logits(model, images, tokens)
