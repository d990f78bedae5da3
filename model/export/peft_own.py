"""A PEFT adapter for open_clip's own model, which has no layer of its own for query, key and value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from medforge.low_rank import Pair
from medforge.model.export.adapter import exact_pair, of_least_rank, padded, write_adapter
from medforge.model.export.own_model import load_lines, own_logits, own_model
from medforge.model.export.prompts import asking_lines, write_prompts
from medforge.model.layer_names import OwnPlace, own_place
from medforge.model.network import Network


def write(network: Network, directory: Path) -> str:
    """Write the adapter; return the Python lines that put it on the base and use it.

    PEFT adapts an ``nn.MultiheadAttention`` as a whole: its fused weight by one pair, its output projection by another
    of the same rank, which is zero here. The visual projection is a bare parameter, for which PEFT wraps the tower.
    """
    pairs = _pairs(network)
    rank = max(down.shape[0] for _, down in pairs.values())
    tower = own_model(network.base)
    bare = [place for place in pairs if place.transposed]
    tensors: dict[str, Tensor] = {}
    for place, pair in pairs.items():
        up, down = padded(pair, rank)
        inside = place.module
        if bare and not place.transposed:
            inside = inside.replace("visual.", "visual.base_layer.", 1)
        tensors |= {f"{inside}.lora_A.weight": down, f"{inside}.lora_B.weight": up}
        attention = tower.get_submodule(place.module)
        if isinstance(attention, nn.MultiheadAttention):
            nothing = torch.zeros(rank, attention.embed_dim)
            out = f"{inside}.base_layer.out_proj"
            tensors |= {f"{out}.lora_A.weight": nothing, f"{out}.lora_B.weight": nothing.T}
    modules = [place.module for place in pairs if not place.transposed]
    parameters = {"target_parameters": [place.name for place in bare]} if bare else {}
    write_adapter(directory, network.base, tensors, rank, modules, **parameters)
    write_prompts(network, directory)
    return f"""\
import json, open_clip, torch
from peft import PeftModel
from PIL import Image

{load_lines(network.base)}
model = PeftModel.from_pretrained(model, ".").eval()
{asking_lines(network)}"""


def logits(network: Network, directory: Path, images: Tensor, tokens: Tensor) -> Tensor:
    """Return the logits [n, C] of open_clip's own base model with the adapter on it."""
    from peft import PeftModel

    return own_logits(PeftModel.from_pretrained(own_model(network.base), str(directory)).eval(), images, tokens)


def _pairs(network: Network) -> Mapping[OwnPlace, Pair]:
    """Return exact factors of the change of each of open_clip's parameters, by its place without the third."""
    parts: dict[OwnPlace, list[tuple[int | None, Pair]]] = {}
    for site in network.change:
        place = own_place(network.base.visual, site)
        parts.setdefault(place._replace(third=None), []).append((place.third, exact_pair(network, site)))
    return {place: _joined(place, found) for place, found in parts.items()}


def _joined(place: OwnPlace, parts: list[tuple[int | None, Pair]]) -> Pair:
    """Return one pair for a parameter: the thirds' factors side by side, each filling its own rows of ``up``."""
    if parts[0][0] is None:
        ((_, (up, down)),) = parts
        return (down.T, up.T) if place.transposed else (up, down)
    ups, downs = [], []
    for third, (up, down) in parts:
        rows = [torch.zeros_like(up)] * 3
        assert third is not None
        rows[third] = up
        ups.append(torch.cat(rows))
        downs.append(down)
    up, down = torch.cat(ups, dim=1), torch.cat(downs)
    return of_least_rank(up.double() @ down.double()) if down.shape[0] > min(up.shape[0], down.shape[1]) else (up, down)
