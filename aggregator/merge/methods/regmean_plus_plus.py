"""RegMean++: layer by layer, on the inputs that the merged network so far makes."""

from collections.abc import Sequence

from torch import Tensor

from medforge.aggregator.merge.gram import REGRESSION_PARAMETERS, Regression, gram_matrices, in_order
from medforge.aggregator.merge.listing import UNIFORM
from medforge.aggregator.merge.method import Round
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.uniform import Uniform, Weighed
from medforge.base_module import BaseModule
from medforge.forge_item import WeightChange


def regmean_plus_plus(members: Sequence[Weighed], base: BaseModule, settings: MethodSettings) -> dict[str, Tensor]:
    """Solve the sites in the order in which an image passes them (Nguyen et al. 2025, RegMean++, section 4).

    The inputs of a layer are those that reach it through the layers merged before it, for every branch's own distilled
    images; RegMean takes them from each branch's own network, which is no more once the layers are merged. A pass over
    all images a layer, each only as far as that layer. float64 [out, in] a site; see `Regression`.
    """
    values = settings.parameters
    merged: dict[str, Tensor] = {}
    for layer in in_order(base.sites):
        sites = {site: Regression(values["off-diagonal"], values["ridge"]) for site in layer}
        for one in members:
            plugin = one.arrived.plugin()
            for site, gram in gram_matrices(base, one.arrived.images(), merged, layer).items():
                change = base.steadily(lambda plugin=plugin, site=site: plugin.delta(site, base))  # type: ignore[misc]
                sites[site].add(change, gram, one.weight)
        merged |= {site: regression.solve() for site, regression in sites.items()}
    return merged


@merge_method(
    name="regmean++",
    item="weights",
    summary="RegMean layer by layer, on inputs as the layers merged so far make them",
    source="Nguyen et al. 2025",
    parameters=REGRESSION_PARAMETERS,
    modes=(UNIFORM,),
    any_order=[UNIFORM],
)
class RegMeanPlusPlus(Uniform):
    """Solve one linear regression a layer, in closed form, from the first layer to the last."""

    def merge_all(self, merge_round: Round, members: Sequence[Weighed]) -> WeightChange:
        """Merge by the Gram matrices of everything that has arrived; a single plugin is what comes out."""
        return WeightChange.of(merge_round.base, regmean_plus_plus(members, merge_round.base, merge_round.settings))
