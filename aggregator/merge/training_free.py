"""Methods that need plugins alone: no images, no search, and no memory of what came before."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from medforge.aggregator.merge.method import Round
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.uniform import Uniform, Weighed
from medforge.base_module import BaseModule
from medforge.forge_item import ForgeItem, Member
from medforge.plugin import Plugin


@dataclass(frozen=True, eq=False)
class NamedPlugin:
    """Hold a plugin beside the digest of the branch it came with, and how often it counts (1 on average)."""

    branch: str
    plugin: Plugin
    weight: float = 1.0

    @property
    def weighed(self) -> Plugin:
        """The plugin, its weight change multiplied by its weight."""
        if self.weight == 1:
            return self.plugin
        return WeighedPlugin(self.plugin.settings, self.plugin.base_fingerprint, self.plugin.factors, self.weight)

    def member(self, coefficient: float) -> Member:
        """Return the plugin as a member of a layer mixture; its coefficient is multiplied by its weight."""
        return Member(self.branch, self.plugin, self.weight * coefficient)


@dataclass(frozen=True, eq=False)
class WeighedPlugin(Plugin):
    """Read a plugin's weight change multiplied by ``weight``, of every kind: a DoRA's factors could not say that."""

    weight: float = 1.0

    def low_rank(self, site: str) -> tuple[Tensor, Tensor] | None:
        """Return two factors whose product is the weighed ΔW; None for a DoRA."""
        pair = super().low_rank(site)
        return None if pair is None else (self.weight * pair[0], pair[1])

    def delta(self, site: str, base: BaseModule) -> Tensor:
        """Return the weighed ΔW."""
        return self.weight * super().delta(site, base)


class PluginMerge(Protocol):
    """Merge one or more plugins of this base, sorted by the digest of their branch.

    The item can be folded into one weight change. Raises InvalidBranch where these plugins cannot be merged.
    """

    __module__: str

    def __call__(self, plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings, /) -> ForgeItem:
        """Merge the plugins."""


class TrainingFree(Uniform):
    """Merge plugins alone; distilled data are only used to score what came out, and to choose a factor where asked."""

    @abstractmethod
    def merge(self, plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> ForgeItem:
        """Merge plugins as `PluginMerge` says."""

    def merge_all(self, merge_round: Round, members: Sequence[Weighed]) -> ForgeItem:
        """Read every plugin, and merge them."""
        plugins = [NamedPlugin(one.arrived.digest, one.arrived.plugin(), one.weight) for one in members]
        return self.merge(plugins, merge_round.base, merge_round.settings)


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
