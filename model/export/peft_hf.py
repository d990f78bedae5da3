"""A PEFT adapter for Hugging Face's CLIPModel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import InvalidInput
from medforge.model.export.adapter import exact_pair, padded, write_adapter
from medforge.model.export.hugging_face import hugging_face_state, write_image_processor
from medforge.model.export.hugging_face_config import clip_config
from medforge.model.export.own_model import own_state
from medforge.model.export.prompts import tokens_of, write_prompts
from medforge.model.layer_names import hugging_face_name
from medforge.model.network import Network
from medforge.plugin import Plugin

if TYPE_CHECKING:
    from transformers import CLIPModel


def write(network: Network, directory: Path) -> str:
    """Write the adapter; return the Python lines that put it on the base and use it.

    Raises InvalidInput for an architecture that CLIPModel does not have.
    """
    clip_config(network.base)
    names = {site: name for site in network.change if (name := hugging_face_name(site)) is not None}
    nameless = sorted(set(network.change) - set(names))
    if nameless:
        raise InvalidInput(f"transformers' CLIPModel has no layer {nameless[0]}; export to open_clip instead")
    if network.plugin is not None and network.plugin.settings.kind == "dora":
        _write_dora(network.plugin, network.base, names, directory)
    else:
        _write_lora(network, names, directory)
    write_image_processor(network.base, directory)
    write_prompts(network, directory)
    return _use(network)


def logits(network: Network, directory: Path, images: Tensor, tokens: Tensor) -> Tensor:
    """Return the logits [n, C] of the base as a CLIPModel with the adapter on it."""
    from peft import PeftModel

    model = PeftModel.from_pretrained(hugging_face_model(network), str(directory)).eval()
    with torch.inference_mode():
        found: Tensor = model(input_ids=tokens, pixel_values=images).logits_per_image
    return found


def hugging_face_model(network: Network) -> CLIPModel:
    """Return the network's base as Hugging Face's CLIPModel."""
    from transformers import CLIPConfig, CLIPModel

    model = CLIPModel(CLIPConfig(**clip_config(network.base)))
    model.load_state_dict(hugging_face_state(own_state(network.base)))
    model.eval()
    return model


def _write_lora(network: Network, names: Mapping[str, str], directory: Path) -> None:
    pairs = {name: exact_pair(network, site) for site, name in names.items()}
    rank = max(down.shape[0] for _, down in pairs.values())
    tensors: dict[str, Tensor] = {}
    for name, pair in pairs.items():
        up, down = padded(pair, rank)
        tensors |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    write_adapter(directory, network.base, tensors, rank, list(pairs))


def _write_dora(plugin: Plugin, base: BaseModule, names: Mapping[str, str], directory: Path) -> None:
    """Write a DoRA as it is: its change has the rank of the frozen weights."""
    scaling, tensors = plugin.settings.scaling, {}
    for site, name in names.items():
        factors = plugin.factors[site]
        assert factors.magnitude is not None
        tensors[f"{name}.lora_A.weight"] = factors.down
        tensors[f"{name}.lora_B.weight"] = scaling * factors.up
        tensors[f"{name}.lora_magnitude_vector"] = factors.magnitude
    write_adapter(directory, base, tensors, plugin.settings.rank, list(names.values()), use_dora=True)


def _use(network: Network) -> str:
    name = network.base.facts.spec.removeprefix("hf-hub:")
    image = 'CLIPImageProcessor.from_pretrained(".")(Image.open("image.png"), return_tensors="pt").pixel_values'
    use = "print(model.get_image_features(pixels))"
    if network.tasks:
        tokens = tokens_of(network.tasks[0])
        use = f"tokens = {tokens}\nprint(model(input_ids=tokens, pixel_values=pixels).logits_per_image.softmax(dim=1))"
    return f"""\
import json, torch
from peft import PeftModel
from PIL import Image
from transformers import CLIPImageProcessor, CLIPModel

base = CLIPModel.from_pretrained("{name}")  # the same weights as a CLIPModel
model = PeftModel.from_pretrained(base, ".").eval()
pixels = {image}
{use}"""
