"""Mixtures of a branch's distilled images: what the few images that there are can still ask a teacher."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Mixtures:
    """Hold m recipes for an image of two: ``first`` and ``second`` are places among n images, int64 [m].

    ``share`` [m] of the first remains everywhere (mixup, Zhang et al. 2018), or ``box`` [m, 4] (top, bottom, left,
    right in pixels) is cut out of it and filled with the second (CutMix, Yun et al. 2019) where ``cut`` [m]. ``flip``
    [m, 2] turns the mixture upside down, and left to right.
    """

    first: Tensor
    second: Tensor
    share: Tensor
    cut: Tensor
    box: Tensor
    flip: Tensor

    @classmethod
    def draw(cls, images: int, count: int, size: int, random: torch.Generator) -> Self:
        """Draw ``count`` mixtures of ``images`` images of ``size`` pixels a side, half of them cut."""
        first, second = torch.randint(images, (2, count), generator=random)
        share = torch.rand(count, generator=random)
        cut, *flip = torch.randint(2, (3, count), generator=random).bool()
        # a box of the share that the second image gets, anywhere that it fits
        side = ((1 - share).sqrt() * size).round()
        top, left = (torch.rand(2, count, generator=random) * (size - side + 1)).floor()
        box = torch.stack([top, top + side, left, left + side], dim=1).long()
        return cls(first, second, share, cut, box, torch.stack(flip, dim=1))

    def __len__(self) -> int:
        return len(self.first)

    def of(self, images: Tensor, chosen: Tensor) -> Tensor:
        """Mix images [n, 3, S, S] as the chosen recipes say; float32 [len(chosen), 3, S, S]."""
        first, second = images[self.first[chosen]].float(), images[self.second[chosen]].float()
        share = self.share[chosen].view(-1, 1, 1, 1)
        blended = share * first + (1 - share) * second
        places = torch.arange(images.shape[-1])
        top, bottom, left, right = self.box[chosen].unsqueeze(2).unbind(dim=1)
        rows, columns = (places >= top) & (places < bottom), (places >= left) & (places < right)
        inside = (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
        mixed = torch.where(self.cut[chosen].view(-1, 1, 1, 1), torch.where(inside, second, first), blended)
        for side, dim in enumerate((2, 3)):
            mixed = torch.where(self.flip[chosen, side].view(-1, 1, 1, 1), mixed.flip(dim), mixed)
        return mixed
