"""ModelSoup: the mean of all weight changes."""

from collections.abc import Sequence

from medforge.aggregator.merge.methods.task_arithmetic import scaled_sum
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.forge_item import Mixture


@merge_method(
    name="model-soup",
    item="mixture",
    summary="the mean of all weight changes",
    source="Wortsman et al. 2022, uniform soup",
)
def merge(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> Mixture:
    """Average weights: a layer mixture where each of N plugins weighs 1/N (Wortsman et al. 2022, uniform soup).

    Since all plugins stand on one base module, the mean of the changed weights is the base plus the mean of ΔW.
    """
    return scaled_sum(plugins, 1 / len(plugins))
