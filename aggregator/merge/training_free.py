"""Methods that need plugins alone: no images, no search, and no memory of what came before."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Protocol

from medforge.aggregator.merge.method import FoldResult, MergeMethod, Round
from medforge.aggregator.merge.settings import MethodSettings
from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.forge_item import ForgeItem
from medforge.plugin import Plugin


@dataclass(frozen=True, eq=False)
class NamedPlugin:
    """Hold a plugin beside the digest of the branch it came with."""

    branch: str
    plugin: Plugin


class PluginMerge(Protocol):
    """Merge one or more plugins of this base, sorted by the digest of their branch.

    The item can be folded into one weight change. Raises InvalidBranch where these plugins cannot be merged.
    """

    __module__: str

    def __call__(self, plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings, /) -> ForgeItem:
        """Merge the plugins."""


class TrainingFree(MergeMethod):
    """Merge all plugins anew at every arrival, so the result depends on no order and a withdrawal is exact.

    A running sum would be cheaper by little, and floating-point sums depend on the order of their terms. Distilled data
    are only used to score what came out.
    """

    @abstractmethod
    def merge(self, plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> ForgeItem:
        """Merge plugins as `PluginMerge` says."""

    def coefficient(self, count: int, settings: MethodSettings) -> float:
        """Return what a commit records as each of ``count`` plugins' coefficient."""
        return 1 / count

    def fold(self, merge_round: Round) -> FoldResult:
        """Merge everything that has arrived; raises InvalidBranch where the result has no finite outputs."""
        base, settings, order = merge_round.base, merge_round.settings, merge_round.canonical
        item = self.merge([NamedPlugin(a.digest, a.plugin()) for a in order], base, settings)
        coefficient = self.coefficient(len(order), settings)
        scores = merge_round.scorer(order).scores(base.steadily(lambda: item.weight_change(base)))
        if not all(isfinite(score.loss) for score in scores.values()):
            raise InvalidBranch(
                f"merged by {settings.method}, the plugins that have arrived give outputs that are not finite; "
                "train the arriving one again with a lower rate"
            )
        return FoldResult(item, dict.fromkeys((a.digest for a in order), coefficient), scores)


@dataclass(frozen=True)
class FunctionMethod(TrainingFree):
    """Merge by a function; a parameter ``scale`` λ, where there is one, multiplies what is taken of every plugin."""

    function: PluginMerge

    def merge(self, plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> ForgeItem:
        """Merge by the function."""
        return self.function(plugins, base, settings)

    def coefficient(self, count: int, settings: MethodSettings) -> float:
        """Return λ, or 1/N where the method has none."""
        return settings.parameters.get("scale", 1 / count)
