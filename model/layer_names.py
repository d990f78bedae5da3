"""One layer, three names: in MedForge's split tower, in open_clip's own model, in Hugging Face's CLIPModel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from medforge.tower import SplitAttention, SplitQKV, VisualTower

_THIRDS = {"q_proj": 0, "k_proj": 1, "v_proj": 2}
_PROJECTION = "visual_projection"
_OURS = re.compile(r"trunk\.transformer\.resblocks\.(\d+)\.attn\.([qv]_proj)")
_HUGGING_FACE = re.compile(r"(?:vision_model\.)?encoder\.layers\.(\d+)\.self_attn\.([qv]_proj)")


class OwnPlace(NamedTuple):
    """Say where open_clip keeps the weight of a layer: which parameter of which module.

    ``third`` is the one of three blocks of rows that the layer is, where query, key and value are one parameter;
    ``transposed`` says that open_clip keeps [in, out].
    """

    module: str
    parameter: str
    third: int | None = None
    transposed: bool = False

    @property
    def name(self) -> str:
        """The parameter's name in open_clip's state dict."""
        return f"{self.module}.{self.parameter}"


def own_place(tower: VisualTower, layer: str, kind: str = "weight") -> OwnPlace:
    """Return where open_clip's own model keeps the weight, or the bias, of a Linear layer of the split tower."""
    if layer == _PROJECTION:
        return OwnPlace("visual", "proj", transposed=True)
    above, _, last = layer.rpartition(".")
    parent = tower.get_submodule(above)
    module = f"visual.{above.removeprefix('trunk.')}"
    if isinstance(parent, SplitAttention) and last in _THIRDS:
        return OwnPlace(module, f"in_proj_{kind}", _THIRDS[last])
    if isinstance(parent, SplitQKV):
        return OwnPlace(module, kind, _THIRDS[last])
    return OwnPlace(f"{module}.{last}", kind)


def in_own_names(tower: VisualTower, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate tensors of the split tower, by its parameters' names, to those of open_clip's own model.

    Where not all of query, key and value are given, zeros stand for the rest.
    """
    found: dict[str, Tensor] = {}
    thirds: dict[str, dict[int, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if not isinstance(tower.get_submodule(layer), torch.nn.Linear):
            found[f"visual.{name.removeprefix('trunk.')}"] = tensor
            continue
        place = own_place(tower, layer, kind)
        if place.third is None:
            found[place.name] = tensor.T if place.transposed else tensor
        else:
            thirds.setdefault(place.name, {})[place.third] = tensor
    for name, parts in thirds.items():
        nothing = torch.zeros_like(next(iter(parts.values())))
        found[name] = torch.cat([parts.get(third, nothing) for third in range(3)])
    return found


def hugging_face_name(site: str) -> str | None:
    """Return the name in Hugging Face's CLIPModel of a site of the split tower; None for one that it does not have."""
    if site == _PROJECTION:
        return site
    ours = _OURS.fullmatch(site)
    return ours and f"vision_model.encoder.layers.{ours[1]}.self_attn.{ours[2]}"


def from_hugging_face(name: str) -> str | None:
    """Return the site that a layer of CLIPModel, CLIPVisionModel or CLIPVisionModelWithProjection is, or None."""
    if name == _PROJECTION:
        return name
    theirs = _HUGGING_FACE.fullmatch(name)
    return theirs and f"trunk.transformer.resblocks.{theirs[1]}.attn.{theirs[2]}"
