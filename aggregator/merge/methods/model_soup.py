"""ModelSoup: the mean of all weight changes."""

from collections.abc import Sequence

from medforge.aggregator.merge.methods.task_arithmetic import scaled_sum
from medforge.aggregator.merge.methods.training_free import NamedPlugin, TrainingFree
from medforge.aggregator.merge.settings import MethodSettings
from medforge.base_module import BaseModule
from medforge.forge_item import Mixture


class ModelSoup(TrainingFree):
    """Average weights: a layer mixture where each of N plugins weighs 1/N (Wortsman et al. 2022, uniform soup).

    Since all plugins stand on one base module, the mean of the changed weights is the base plus the mean of ΔW.
    """

    def merge(self, plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> Mixture:
        """Average the weight changes."""
        return scaled_sum(plugins, 1 / len(plugins))


METHOD = ModelSoup()
