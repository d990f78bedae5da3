"""MedForge-Mixture: outputs are weighted and added, the plugins stay as they are."""

from collections.abc import Callable

from medforge.aggregator.merge.method import FoldResult, MergeMethod, Round
from medforge.aggregator.merge.methods import layer_mixture, output_mixture


class MixtureMethod(MergeMethod):
    """Weigh every arrived plugin, at the level and by the coefficients that the settings name."""

    def fold(self, merge_round: Round) -> FoldResult:
        """Run one merge round.

        Coefficients are composed products (sequential), refitted weights (joint), or the mean over tasks of the share
        of distilled images that the gate sends to each branch (gated: a record, the gate itself decides by the image).
        """
        settings = merge_round.settings
        return _FOLDS[settings.level, settings.coefficients](merge_round)


_FOLDS: dict[tuple[str, str], Callable[[Round], FoldResult]] = {
    ("output", "sequential"): output_mixture.sequential,
    ("output", "joint"): output_mixture.joint,
    ("output", "gated"): output_mixture.gated,
    ("layer", "sequential"): layer_mixture.sequential,
    ("layer", "joint"): layer_mixture.joint,
}

METHOD = MixtureMethod()
