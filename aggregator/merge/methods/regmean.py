"""RegMean: at every layer, the weight change that does what each plugin does on its own images."""

from collections import defaultdict
from collections.abc import Sequence

from torch import Tensor

from medforge.aggregator.merge.gram import REGRESSION_PARAMETERS, Regression, gram_matrices
from medforge.aggregator.merge.listing import UNIFORM
from medforge.aggregator.merge.method import Round
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.uniform import Uniform, Weighed
from medforge.base_module import BaseModule
from medforge.forge_item import WeightChange


def regmean(members: Sequence[Weighed], base: BaseModule, settings: MethodSettings) -> dict[str, Tensor]:
    """Solve every site by itself, on what reaches it under each branch's own plugin (Jin et al., ICLR 2023).

    Branches are read one after another. float64 [out, in] a site; see `Regression`.
    """
    values = settings.parameters
    sites: dict[str, Regression] = defaultdict(lambda: Regression(values["off-diagonal"], values["ridge"]))
    for one in members:
        plugin = one.arrived.plugin()
        changes = base.steadily(lambda plugin=plugin: plugin.deltas(base))  # type: ignore[misc]
        for site, gram in gram_matrices(base, one.arrived.images(), changes, base.sites).items():
            sites[site].add(changes[site], gram, one.weight)
    return {site: regression.solve() for site, regression in sites.items()}


@merge_method(
    name="regmean",
    item="weights",
    summary="at every layer, the least squares of what each plugin does on its own distilled images",
    source="Jin et al. 2023",
    parameters=REGRESSION_PARAMETERS,
    modes=(UNIFORM,),
    any_order=[UNIFORM],
)
class RegMean(Uniform):
    """Solve one linear regression a layer, in closed form."""

    def merge_all(self, merge_round: Round, members: Sequence[Weighed]) -> WeightChange:
        """Merge by the Gram matrices of everything that has arrived; a single plugin is what comes out."""
        return WeightChange.of(merge_round.base, regmean(members, merge_round.base, merge_round.settings))
