"""A CLIP visual tower whose adaptable weights are named Linear layers.

open_clip fuses query, key and value in one ``in_proj_weight`` and keeps the visual projection as a bare parameter; PEFT
can adapt neither. Both are split once, at load, into Linear layers that compute the same numbers.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medforge.errors import InvalidInput


class SplitAttention(nn.Module):
    """Compute what ``nn.MultiheadAttention`` computes, with query, key, value and output as four Linear layers."""

    def __init__(self, fused: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads = fused.num_heads
        self.batch_first = fused.batch_first
        weights = fused.in_proj_weight.chunk(3)
        biases = fused.in_proj_bias.chunk(3) if fused.in_proj_bias is not None else (None, None, None)
        self.q_proj, self.k_proj, self.v_proj = (_linear(w, b) for w, b in zip(weights, biases, strict=True))
        self.out_proj = _linear(fused.out_proj.weight, fused.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Attend; the signature is the part of ``nn.MultiheadAttention.forward`` that open_clip's blocks use."""
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = (
            self._by_head(project(x)) for project, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        mixed = _attend(q, k, v, attn_mask)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return (out if self.batch_first else out.transpose(0, 1)), None

    def _by_head(self, x: Tensor) -> Tensor:
        rows, length, _ = x.shape
        return x.view(rows, length, self.heads, -1).transpose(1, 2)


class SplitQKV(nn.Module):
    """Compute what timm's fused ``qkv`` Linear computes, with three Linear layers."""

    def __init__(self, fused: nn.Linear) -> None:
        super().__init__()
        weights = fused.weight.chunk(3)
        biases = fused.bias.chunk(3) if fused.bias is not None else (None, None, None)
        self.q_proj, self.k_proj, self.v_proj = (_linear(w, b) for w, b in zip(weights, biases, strict=True))

    @property
    def weight(self) -> Tensor:
        """The fused weight [3d, d], which attentions with biases of their own (EVA's, BEiT's) take out of the layer."""
        return torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])

    def forward(self, x: Tensor) -> Tensor:
        """Project [..., d] to [..., 3d]."""
        return torch.cat([self.q_proj(x), self.k_proj(x), self.v_proj(x)], dim=-1)


class VisualTower(nn.Module):
    """Encode images by a trunk and its visual projection."""

    def __init__(self, trunk: nn.Module, visual_projection: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.visual_projection = visual_projection

    def forward(self, images: Tensor) -> Tensor:
        """Embed normalised images [n, 3, S, S] as [n, d]."""
        features = self.trunk(images)
        pooled = features[0] if isinstance(features, tuple) else features
        out: Tensor = self.visual_projection(pooled)
        return out


def split_tower(visual: nn.Module) -> VisualTower:
    """Split the fused weights of an open_clip or timm visual tower in place, and wrap it as a VisualTower.

    Raises InvalidInput where the tower has no attention that can be split (a ResNet, for one).
    """
    for parent, name, child in _children(visual):
        if isinstance(child, nn.MultiheadAttention) and child.in_proj_weight is not None:
            setattr(parent, name, SplitAttention(child))
        elif name == "qkv" and isinstance(child, nn.Linear):
            setattr(parent, name, SplitQKV(child))
    projection: nn.Module = nn.Identity()
    bare = getattr(visual, "proj", None)
    if isinstance(bare, nn.Parameter):
        projection = _linear(bare.T, None)
        visual.register_parameter("proj", None)
    tower = VisualTower(visual, projection)
    # open_clip takes seconds to import, and what only stores or sends a plugin never comes here
    from open_clip.modified_resnet import ModifiedResNet

    if isinstance(visual, ModifiedResNet) or not any(_is_query_or_value(name) for name, _ in tower.named_modules()):
        raise InvalidInput(
            f"the visual tower {type(visual).__name__} has no attention whose query and value could be adapted; "
            "choose a vision transformer as base module"
        )
    return tower


def adaptable_sites(tower: VisualTower) -> tuple[str, ...]:
    """Name the Linear layers a plugin adapts: query and value of every block, and the visual projection."""
    return tuple(
        name
        for name, module in tower.named_modules()
        if isinstance(module, nn.Linear)
        and (_is_query_or_value(name) or name in ("visual_projection", "trunk.head.proj"))
    )


def _is_query_or_value(name: str) -> bool:
    return name.rpartition(".")[2] in ("q_proj", "v_proj")


def _children(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            yield parent, name, child


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone().contiguous())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    # torch's fused CPU kernel is 2 to 4 times slower backwards in bf16 than the formula written out (torch 2.15)
    if q.requires_grad and q.dtype == torch.bfloat16 and q.device.type == "cpu" and mask is None:
        weights: Tensor = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(dim=-1)
        return weights @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
