"""Task arithmetic: all weight changes are added, and the sum is scaled."""

from collections.abc import Sequence

from medforge.aggregator.merge.methods.training_free import NamedPlugin, Scaled
from medforge.aggregator.merge.settings import MethodSettings
from medforge.base_module import BaseModule
from medforge.forge_item import Member, Mixture


def scaled_sum(plugins: Sequence[NamedPlugin], scale: float) -> Mixture:
    """Return scale · Σ_k ΔW_k as a layer mixture: one forward pass, exact for plugins of every kind and rank."""
    return Mixture(tuple(Member(named.branch, named.plugin, scale) for named in plugins), "layer")


class TaskArithmetic(Scaled):
    """Add task vectors: λ · Σ_k ΔW_k (Ilharco et al. 2023), λ = .3 unless ``scale`` says otherwise."""

    def merge(self, plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> Mixture:
        """Add the weight changes."""
        return scaled_sum(plugins, settings.parameters["scale"])


METHOD = TaskArithmetic()
