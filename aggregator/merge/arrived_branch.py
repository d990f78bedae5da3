"""A branch in the main branch's hands: known by its manifest, its parts read when they are needed."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

from torch import Tensor

from medforge.aggregator.coefficients.labelled_images import LabelledImages
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.files import canonical_json, sha256_bytes
from medforge.forge_item import Member
from medforge.manifest import DISTILLED_FILE, PLUGIN_DIRECTORY, STATISTICS_FILE, Manifest
from medforge.peft_format import CONFIG_FILE, WEIGHTS_FILE
from medforge.plugin import Plugin


class BranchParts(Protocol):
    """Read the parts of one branch, each apart from the others."""

    def plugin(self) -> Plugin:
        """Read the plugin."""

    def labels(self) -> Tensor:
        """Read the labels of the distilled images, int64 [n], without the images where that can be."""

    def images(self) -> Tensor:
        """Read the distilled images, float16 [n, 3, S, S]."""

    def statistics(self) -> ClassStatistics | None:
        """Read the class statistics of the training images, None where the branch has none."""


@dataclass(frozen=True, eq=False)
class ArrivedBranch:
    """Name an arrived branch without holding its tensors; ``parts`` reads them."""

    number: int
    manifest: Manifest
    parts: BranchParts

    @classmethod
    def of(cls, number: int, branch: Branch) -> Self:
        """Name a branch that is in memory, and stays there."""
        return cls(number, branch.manifest, _InMemory(branch))

    @cached_property
    def digest(self) -> str:
        """The branch's content digest."""
        return self.manifest.digest

    @property
    def task(self) -> str:
        """The task the branch was made for."""
        return self.manifest.task

    @property
    def contributor(self) -> str:
        """Who made the branch."""
        return self.manifest.contributor

    @property
    def prompts(self) -> tuple[str, ...]:
        """One prompt for each class."""
        return self.manifest.prompts

    @cached_property
    def plugin_digest(self) -> str:
        """The plugin's digest, as `Plugin.digest` computes it, from the manifest alone."""
        names = (CONFIG_FILE, WEIGHTS_FILE)
        return sha256_bytes(canonical_json({n: self.manifest.files[f"{PLUGIN_DIRECTORY}/{n}"].digest for n in names}))

    @property
    def distilled_digest(self) -> str:
        """The distilled dataset's digest, as `DistilledDataset.digest` computes it, from the manifest alone."""
        return self.manifest.files[DISTILLED_FILE].digest

    def plugin(self) -> Plugin:
        """Read the branch's plugin."""
        return self.parts.plugin()

    def labels(self) -> Tensor:
        """Read the labels of the branch's distilled images, int64 [n]."""
        return self.parts.labels()

    def images(self) -> Tensor:
        """Read the branch's distilled images, float16 [n, 3, S, S]; only a forward pass needs them."""
        return self.parts.images()

    @property
    def has_statistics(self) -> bool:
        """Whether its site sent class statistics."""
        return STATISTICS_FILE in self.manifest.files

    def statistics(self) -> ClassStatistics | None:
        """Read the branch's class statistics, None where its site sent none."""
        return self.parts.statistics() if self.has_statistics else None

    def labelled(self) -> LabelledImages:
        """Read the branch's distilled dataset."""
        return LabelledImages(self.task, self.images(), self.labels(), self.prompts)

    def member(self, coefficient: float) -> Member:
        """Read the branch's plugin as a member of a mixture."""
        return Member(self.digest, self.plugin(), coefficient)


@dataclass(frozen=True, eq=False)
class _InMemory:
    branch: Branch

    def plugin(self) -> Plugin:
        return self.branch.plugin

    def labels(self) -> Tensor:
        return self.branch.distilled.labels

    def images(self) -> Tensor:
        return self.branch.distilled.images

    def statistics(self) -> ClassStatistics | None:
        return self.branch.statistics
