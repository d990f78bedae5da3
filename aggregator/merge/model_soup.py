"""ModelSoup: the mean of all weight changes."""

from medforge.aggregator.merge.layer_mixture import weighed
from medforge.aggregator.merge.method import Folded, MergeMethod, Round


class ModelSoup(MergeMethod):
    """Average weights: a layer mixture where each of N plugins weighs 1/N (Wortsman et al. 2022, uniform soup).

    Since all plugins stand on one base module, the mean of the changed weights is the base plus the mean of ΔW.
    """

    def fold(self, merge_round: Round) -> Folded:
        """Average everything that has arrived."""
        order = merge_round.canonical
        return weighed(merge_round, order, {arrived.digest: 1 / len(order) for arrived in order})


METHOD = ModelSoup()
