"""A branch in the main branch's hands: known by its manifest, its tensors read when they are needed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from medforge.aggregator.coefficients.labelled_images import LabelledImages
from medforge.branch import DISTILLED_FILE, PLUGIN_DIRECTORY, Branch, Manifest
from medforge.files import canonical_json, sha256_bytes
from medforge.forge_item import Member
from medforge.plugin import CONFIG_FILE, WEIGHTS_FILE


@dataclass(frozen=True, eq=False)
class ArrivedBranch:
    """Name an arrived branch without holding its tensors; ``branch`` reads them."""

    number: int
    manifest: Manifest
    branch: Callable[[], Branch]

    @classmethod
    def of(cls, number: int, branch: Branch) -> Self:
        """Name a branch that is in memory, and stays there."""
        return cls(number, branch.manifest, lambda: branch)

    @property
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
    def plugin_digest(self) -> str:
        """The plugin's digest, as `Plugin.digest` computes it, from the manifest alone."""
        names = (CONFIG_FILE, WEIGHTS_FILE)
        return sha256_bytes(canonical_json({n: self.manifest.files[f"{PLUGIN_DIRECTORY}/{n}"].digest for n in names}))

    @property
    def distilled_digest(self) -> str:
        """The distilled dataset's digest, as `DistilledDataset.digest` computes it, from the manifest alone."""
        return self.manifest.files[DISTILLED_FILE].digest

    def labelled(self) -> LabelledImages:
        """Read the branch's distilled dataset."""
        distilled = self.branch().distilled
        return LabelledImages(self.task, distilled.images, distilled.labels, distilled.prompts)

    def member(self, coefficient: float) -> Member:
        """Read the branch's plugin as a member of a mixture."""
        return Member(self.digest, self.branch().plugin, coefficient)
