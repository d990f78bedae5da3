"""Choose a plugin by the image: distances to the distilled datasets' class means in the base's embedding space."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.distilled import DistilledDataset
from medforge.errors import InvalidBranch
from medforge.tensors import dump_tensors, parse_tensors


@dataclass(frozen=True, eq=False)
class PrototypeGate:
    """Hold class-mean prototypes [P, d] (float32) and, for each, the index of the member it belongs to [P] (int64)."""

    prototypes: Tensor
    owners: Tensor

    @classmethod
    def of(cls, class_means: Sequence[Tensor]) -> "PrototypeGate":
        """Make a gate from the class means [C_k, d] of every member, in member order."""
        owners = [torch.full((len(means),), index) for index, means in enumerate(class_means)]
        return cls(torch.cat([means.float().cpu() for means in class_means]), torch.cat(owners))

    @property
    def members(self) -> int:
        """How many members the gate chooses among."""
        return int(self.owners.max()) + 1

    def choose(self, embeddings: Tensor) -> Tensor:
        """Index [n] of the member whose prototype is nearest (Euclidean) to each base embedding [n, d]."""
        distances = torch.cdist(embeddings.float(), self.prototypes.to(embeddings.device))
        return self.owners.to(embeddings.device)[distances.argmin(dim=1)]

    def weights(self, embeddings: Tensor) -> Tensor:
        """One-hot weights [n, K] of the chosen members."""
        return torch.nn.functional.one_hot(self.choose(embeddings), self.members).float()

    def to_bytes(self) -> bytes:
        """Serialise as safetensors."""
        return dump_tensors({"prototypes": self.prototypes, "owners": self.owners})

    @classmethod
    def from_bytes(cls, data: bytes) -> "PrototypeGate":
        """Read a serialised gate; raises CorruptFile or InvalidBranch."""
        tensors, _ = parse_tensors(data, "the gate")
        if set(tensors) != {"prototypes", "owners"}:
            raise InvalidBranch("the gate does not hold prototypes and owners; fetch the forge item again")
        return cls(tensors["prototypes"], tensors["owners"])


def class_means(base: BaseModule, distilled: DistilledDataset) -> Tensor:
    """Mean base embedding [C, d] of every class of a distilled dataset: what distribution matching matches."""
    embeddings = base.embed_all(distilled.images).cpu()
    return torch.stack([embeddings[distilled.labels == c].mean(dim=0) for c in range(len(distilled.prompts))])
