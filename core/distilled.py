"""The distilled dataset: a few learned images per class that stand in for a centre's private ones."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.files import AnyPath, read_file, sha256_bytes, write_atomically
from medforge.mapped_file import Bytes
from medforge.near_images import shared_picture
from medforge.prompt_form import prompt_fault
from medforge.tensors import dump_tensors, is_canonical, metadata_texts, parse_tensors


@dataclass(frozen=True, eq=False)
class DistilledDataset:
    """Hold learned images [n, 3, S, S] (float16, the base's normalised space), labels [n] (int64) and class prompts."""

    images: Tensor
    labels: Tensor
    prompts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def ipc(self) -> int:
        """Images per class, of the smallest class."""
        return int(torch.bincount(self.labels, minlength=len(self.prompts)).min())

    @cached_property
    def extremes(self) -> tuple[Tensor, Tensor]:
        """The least and the greatest value of every image in each channel, [n, 3] each; NaN where one is in there."""
        return self.images.amin((2, 3)), self.images.amax((2, 3))

    def pixels(self, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        """Return the images as uint8 [n, 3, S, S], for showing."""
        scale, shift = (torch.tensor(v).view(3, 1, 1) for v in (std, mean))
        return ((self.images.float() * scale + shift).clamp(0, 1) * 255).round().to(torch.uint8)

    @cached_property
    def _bytes(self) -> bytes:
        return dump_tensors(self._tensors(), {"prompts": list(self.prompts)})

    def _tensors(self) -> dict[str, Tensor]:
        return {"images": self.images.to(torch.float16), "labels": self.labels.to(torch.int64)}

    def is_spelled(self, data: Bytes) -> bool:
        """Say whether a file that the dataset was read from is spelled as `to_bytes` spells it."""
        return is_canonical(data, self._tensors(), metadata_texts({"prompts": list(self.prompts)}))

    def to_bytes(self) -> bytes:
        """Serialise as safetensors, the same bytes for the same dataset."""
        return self._bytes

    @cached_property
    def digest(self) -> str:
        """The sha256 of the serialised dataset."""
        return sha256_bytes(self._bytes)

    @classmethod
    def from_bytes(cls, data: Bytes, where: str = "the distilled dataset") -> "DistilledDataset":
        """Read a serialised dataset; raises CorruptFile or InvalidBranch with the reason."""
        tensors, metadata = parse_tensors(data, where)
        prompts = metadata.get("prompts")
        if set(tensors) != {"images", "labels"} or not isinstance(prompts, list):
            raise InvalidBranch(f"{where} does not hold images, labels and prompts; distil it again")
        if tensors["images"].dtype != torch.float16 or tensors["labels"].dtype != torch.int64:
            raise InvalidBranch(f"{where} does not hold float16 images and int64 labels; distil it again")
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise InvalidBranch(
                f"{where} holds a class prompt that is no text; mend the task's prompts and distil again"
            )
        distilled = cls(tensors["images"], tensors["labels"], tuple(prompts))
        _check_labels(distilled)
        return distilled

    def save(self, path: AnyPath) -> None:
        """Write the dataset to a file."""
        write_atomically(Path(path), self._bytes)

    @classmethod
    def load(cls, path: Path) -> "DistilledDataset":
        """Read a dataset from a file; raises InvalidInput, CorruptFile or InvalidBranch with the reason."""
        return cls.from_bytes(read_file(path, "the distilled dataset"), str(path))


def check_distilled(distilled: DistilledDataset, base: BaseModule) -> None:
    """Check that a distilled dataset fits a base module: shapes, labels, every class there, every value finite.

    Raises InvalidBranch with the first thing that is wrong.
    """
    images, prompts, size = distilled.images, distilled.prompts, base.image_size
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, size, size):
        raise InvalidBranch(
            f"distilled images are {tuple(images.shape)} where (n, 3, {size}, {size}) is due; distil again"
        )
    _check_labels(distilled)
    fault = prompt_fault(prompts)
    if fault is not None:
        raise InvalidBranch(f"{fault}; mend the task's prompts and commit again")
    if distilled.ipc == 0:
        raise InvalidBranch("a class has no distilled image; distil again")
    if not all(values.isfinite().all() for values in distilled.extremes):
        raise InvalidBranch("a distilled image holds a value that is not finite; distil again with a lower pixel rate")
    _check_told_apart(distilled, base.std)


def _check_told_apart(distilled: DistilledDataset, std: Sequence[float]) -> None:
    """Refuse an image that stands for two classes: whatever a model answers there, it is wrong for one of them."""
    pair = _same_picture(distilled) or shared_picture(distilled.images, distilled.labels, std)
    if pair is not None:
        one, other = (distilled.prompts[int(distilled.labels[place])][:200] for place in pair)
        raise InvalidBranch(
            f"one distilled image stands for both {one!r} and {other!r}; look for images that lie in both classes, "
            "then distil again"
        )


def _same_picture(distilled: DistilledDataset) -> tuple[int, int] | None:
    """Return two places of equal images under two labels; only those that share their extremes are compared whole."""
    labels = distilled.labels.tolist()
    alike: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for place, extremes in enumerate(torch.cat(distilled.extremes, dim=1).tolist()):
        alike[tuple(extremes)].append(place)
    for places in alike.values():
        first: dict[bytes, int] = {}
        for place in places if len({labels[place] for place in places}) > 1 else ():
            # a zero has two signs, which nobody sees
            image = (distilled.images[place] + 0.0).numpy().tobytes()
            other = first.setdefault(sha256(image).digest(), place)
            if labels[other] != labels[place]:
                return other, place
    return None


def _check_labels(distilled: DistilledDataset) -> None:
    """Check what `ipc` stands on: counting a label that is out of range would allocate as many counters."""
    images, labels, classes = distilled.images, distilled.labels, len(distilled.prompts)
    count = len(images) if images.ndim else 0
    if labels.ndim != 1 or len(labels) != count:
        raise InvalidBranch(f"{count} distilled images have labels of shape {tuple(labels.shape)}; distil again")
    if len(labels) == 0 or int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise InvalidBranch(f"distilled labels must lie in 0…{classes - 1}, one for each prompt; distil again")
