"""MedForge-Mixture: outputs are weighted and added, the plugins stay as they are."""

from collections.abc import Callable

from medforge.aggregator.merge import layer_mixture, output_mixture
from medforge.aggregator.merge.method import FoldResult, MergeMethod, Round
from medforge.aggregator.merge.registration import merge_method

# the first mode is the default
_FOLDS: dict[tuple[str, str], Callable[[Round], FoldResult]] = {
    ("output", "gated"): output_mixture.gated,
    ("output", "joint"): output_mixture.joint,
    ("output", "sequential"): output_mixture.sequential,
    ("layer", "sequential"): layer_mixture.sequential,
    ("layer", "joint"): layer_mixture.joint,
}


@merge_method(
    name="mixture",
    item="mixture",
    summary="outputs are weighted and added, plugins stay as they are",
    source="MedForge 2025; joint and gated are ours",
    modes=tuple(_FOLDS),
    any_order=[("output", "gated"), ("output", "joint"), ("layer", "joint")],
    reference=[("output", "sequential"), ("layer", "sequential")],
)
class MixtureMethod(MergeMethod):
    """Weigh every arrived plugin, at the level and by the coefficients that the settings name."""

    def fold(self, merge_round: Round) -> FoldResult:
        """Run one merge round.

        Coefficients are composed products (sequential), refitted weights (joint), or the mean over tasks of the share
        of distilled images that the gate sends to each branch (gated: a record, the gate itself decides by the image).
        """
        settings = merge_round.settings
        return _FOLDS[settings.level, settings.coefficients](merge_round)
