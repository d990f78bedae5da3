"""What the embedded base learns from: captions, the painter's attributes, and measured properties of the pictures."""

from __future__ import annotations

import torch
from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional

from pretraining.descriptors import describe_patches, describe_whole


class Standardiser(nn.Module):
    """Bring targets to zero mean and unit spread, column by column, from one large sample; ignores NaN."""

    mean: Tensor
    spread: Tensor

    def __init__(self, sample: Tensor) -> None:
        super().__init__()
        flat = sample.flatten(0, -2)
        self.register_buffer("mean", flat.nanmean(0))
        self.register_buffer("spread", (flat - self.mean).square().nanmean(0).sqrt() + 1e-4)

    def forward(self, values: Tensor) -> Tensor:
        """Standardise [..., k]; outliers are cut at four spreads."""
        return ((values - self.mean) / self.spread).clamp(-4, 4)


class Objective(nn.Module):
    """The loss of one batch. The three linear heads are thrown away after pretraining."""

    def __init__(self, clip: CLIP, pictures: Tensor, attributes: Tensor, weights: dict[str, float]) -> None:
        super().__init__()
        self.weights = weights
        self.patch = int(clip.visual.patch_size[0])
        self.whole = Standardiser(describe_whole(pictures))
        self.local = Standardiser(describe_patches(pictures, self.patch))
        self.drawn = Standardiser(attributes)
        embedding = clip.visual.output_dim
        self.tell_whole = nn.Linear(embedding, len(self.whole.mean))
        self.tell_drawn = nn.Linear(embedding, len(self.drawn.mean))
        self.tell_local = nn.Linear(int(clip.visual.positional_embedding.shape[1]), len(self.local.mean))

    def forward(
        self, clip: CLIP, inputs: Tensor, pixels: Tensor, attributes: Tensor, tokens: Tensor
    ) -> dict[str, Tensor]:
        """Return the named losses of normalised `inputs`, which show `pixels` in [0, 1], and their captions' tokens.

        The visual tower must return its patch tokens too (`output_tokens`).
        """
        embedding, patches = clip.visual(inputs)
        embedding = embedding.float()
        image = functional.normalize(embedding, dim=-1)
        text = functional.normalize(clip.encode_text(tokens).float(), dim=-1)
        logits = clip.logit_scale.exp().clamp(max=50) * image @ text.T
        goal = torch.arange(len(logits))
        wanted = self.drawn(attributes)
        known = ~wanted.isnan()
        wrong = functional.smooth_l1_loss(self.tell_drawn(embedding), wanted.nan_to_num(), reduction="none")
        losses = {
            "captions": (functional.cross_entropy(logits, goal) + functional.cross_entropy(logits.T, goal)) / 2,
            "whole": functional.smooth_l1_loss(self.tell_whole(embedding), self.whole(describe_whole(pixels))),
            "drawn": (wrong * known).sum() / known.sum(),
            "local": functional.smooth_l1_loss(
                self.tell_local(patches.float()), self.local(describe_patches(pixels, self.patch))
            ),
        }
        losses["total"] = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        return losses
