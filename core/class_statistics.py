"""Class statistics: what a site may send of its training images beside the distilled ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.files import sha256_bytes
from medforge.mapped_file import Bytes
from medforge.tensors import all_finite, dump_tensors, is_canonical, metadata_texts, parse_tensors

# how far, of its largest eigenvalue, a covariance that was rounded to float32 may fall below zero
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """Hold class sums [C, d] and counts [C] (int64) of base embeddings, and their pooled covariance [d, d].

    Embeddings are the base module's, without a plugin and not normalised. The covariance is the within-class scatter
    over the number of images; it and the sums are float32. Sums over sites need no more than these (FedCGS, Guan et
    al., CVPR 2025).
    """

    sums: Tensor
    counts: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, embeddings: Tensor, labels: Tensor, classes: int) -> ClassStatistics:
        """Sum up embeddings [n, d] by their labels [n] (int64) in 0 … classes − 1; a class may have none.

        Of embeddings on a grid (see `determinism.on_grid`) the sums are exact, whatever the order of the images.
        """
        rows = embeddings.double().cpu()
        sums = torch.zeros(classes, rows.shape[1], dtype=torch.float64).index_add_(0, labels, rows)
        counts = torch.bincount(labels, minlength=classes)
        residuals = rows - (sums / counts.clamp_min(1).unsqueeze(1))[labels]
        covariance = residuals.T @ residuals / max(len(rows), 1)
        return cls(sums.float(), counts, ((covariance + covariance.T) / 2).float())

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.counts)

    @property
    def images(self) -> int:
        """How many images were summed up."""
        return int(self.counts.sum())

    @property
    def means(self) -> Tensor:
        """Class means [C, d], float64; zero for a class without an image."""
        return self.sums.double() / self.counts.clamp_min(1).unsqueeze(1)

    def without(self, classes: Tensor) -> ClassStatistics:
        """Return the statistics as if some `classes` (bool [C]) had no image; the covariance stays as it is."""
        sums = torch.where(classes.unsqueeze(1), torch.zeros_like(self.sums), self.sums)
        return ClassStatistics(sums, torch.where(classes, 0, self.counts), self.covariance)

    def completed(self, others: ClassStatistics) -> ClassStatistics:
        """Return the statistics with the classes that they have no image of taken from others, of distilled images."""
        absent = self.counts == 0
        sums = torch.where(absent.unsqueeze(1), others.sums, self.sums)
        return ClassStatistics(sums, torch.where(absent, others.counts, self.counts), self.covariance)

    @cached_property
    def _bytes(self) -> bytes:
        return dump_tensors(self._tensors())

    def _tensors(self) -> dict[str, Tensor]:
        return {"sums": self.sums, "counts": self.counts, "covariance": self.covariance}

    def is_spelled(self, data: Bytes) -> bool:
        """Say whether a file that the statistics were read from is spelled as `to_bytes` spells it."""
        return is_canonical(data, self._tensors(), metadata_texts())

    def to_bytes(self) -> bytes:
        """Serialise as safetensors, the same bytes for the same statistics."""
        return self._bytes

    @property
    def digest(self) -> str:
        """The sha256 of the serialised statistics."""
        return sha256_bytes(self._bytes)

    @classmethod
    def from_bytes(cls, data: Bytes, where: str = "the class statistics") -> ClassStatistics:
        """Read serialised statistics; raises CorruptFile or InvalidBranch with the reason."""
        tensors, _ = parse_tensors(data, where)
        if set(tensors) != {"sums", "counts", "covariance"}:
            raise InvalidBranch(f"{where} do not hold sums, counts and covariance; commit the branch again")
        statistics = cls(tensors["sums"], tensors["counts"], tensors["covariance"])
        statistics._check_shapes(where)
        return statistics

    def check(self, base: BaseModule, classes: int) -> None:
        """Check that the statistics fit a base module and a number of classes, and are some images could have.

        Raises InvalidBranch with the first thing that is wrong.
        """
        width = base.embed_dim
        if tuple(self.sums.shape) != (classes, width):
            raise InvalidBranch(
                f"the class statistics hold {self.sums.shape[0]} classes of {self.sums.shape[1]} features where "
                f"{classes} of {width} are due by the branch's prompts and the base module; commit the branch again"
            )
        if int(self.counts.min()) < 0 or self.images == 0:
            raise InvalidBranch("the class statistics count no image, or fewer than none; commit the branch again")
        if not (all_finite(self.sums) and all_finite(self.covariance)):
            raise InvalidBranch("the class statistics hold a value that is not finite; commit the branch again")
        if bool(self.sums[self.counts == 0].any()):
            raise InvalidBranch("the class statistics sum up a class that has no image; commit the branch again")
        if not torch.equal(self.covariance, self.covariance.T) or not _is_covariance(self.covariance):
            raise InvalidBranch("the class statistics' covariance is none; commit the branch again")

    def _check_shapes(self, where: str) -> None:
        shapes = (self.sums.ndim, self.counts.ndim, self.covariance.ndim)
        dtypes = (self.sums.dtype, self.counts.dtype, self.covariance.dtype)
        if shapes != (2, 1, 2) or dtypes != (torch.float32, torch.int64, torch.float32):
            raise InvalidBranch(
                f"{where} do not hold float32 sums [C, d], int64 counts [C] and a float32 covariance [d, d]; "
                "commit the branch again"
            )
        classes, width = self.sums.shape
        if not classes or not width or len(self.counts) != classes or tuple(self.covariance.shape) != (width, width):
            raise InvalidBranch(f"the shapes of {where} do not fit each other; commit the branch again")


def _is_covariance(matrix: Tensor) -> bool:
    exact = matrix.double()
    # no variance is larger than the largest eigenvalue: what can be factored with so much of it added has no eigenvalue
    # below the bound, and most can, in a fraction of the time that eigenvalues take
    raised = exact + _ROUNDING * exact.diagonal().max().clamp_min(0) * torch.eye(len(exact), dtype=exact.dtype)
    if not int(torch.linalg.cholesky_ex(raised).info):
        return True
    eigenvalues = torch.linalg.eigvalsh(exact)
    return bool(eigenvalues[0] >= -_ROUNDING * eigenvalues[-1].clamp_min(0))
