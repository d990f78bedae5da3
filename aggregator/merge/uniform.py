"""Methods that search no coefficients: every branch counts by its own weight, in one merge of everything."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, isfinite

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.method import FoldResult, MergeMethod, Round
from medforge.aggregator.merge.scaling import choose_factor, scaled
from medforge.aggregator.merge.settings import MethodSettings
from medforge.errors import InvalidBranch
from medforge.forge_item import ForgeItem


@dataclass(frozen=True, eq=False)
class Weighed:
    """Hold an arrived branch beside how often it counts; the weights of all of them are 1 on average."""

    arrived: ArrivedBranch
    weight: float


class Uniform(MergeMethod):
    """Merge everything anew at every arrival, so the result depends on no order and a withdrawal is exact.

    A running sum would be cheaper by little, and floating-point sums depend on the order of their terms.
    """

    @abstractmethod
    def merge_all(self, merge_round: Round, members: Sequence[Weighed]) -> ForgeItem:
        """Merge branches, sorted by digest, into an item that can be folded into one weight change.

        Raises InvalidBranch where these plugins cannot be merged.
        """

    def coefficient(self, count: int, settings: MethodSettings) -> float:
        """Return what a commit records as the coefficient of each of ``count`` plugins of weight 1."""
        return 1 / count

    def fold(self, merge_round: Round) -> FoldResult:
        """Merge everything that has arrived; raises InvalidBranch where the result has no finite outputs."""
        base, settings = merge_round.base, merge_round.settings
        members = weigh_branches(merge_round.canonical, settings)
        item, factor = self.merge_all(merge_round, members), 1.0
        scorer = merge_round.scorer(merge_round.canonical)
        change = base.steadily(lambda: item.weight_change(base))
        if settings.scaling == "distilled":
            factor = choose_factor(scorer, change, settings)
            item = scaled(item, factor, base)
            change = base.steadily(lambda: item.weight_change(base))
        scores = scorer.scores(change)
        if not all(isfinite(score.loss) for score in scores.values()):
            raise InvalidBranch(
                f"merged by {settings.method}, the plugins that have arrived give outputs that are not finite; "
                "train the arriving one again with a lower rate"
            )
        coefficient = factor * self.coefficient(len(members), settings)
        return FoldResult(item, {one.arrived.digest: coefficient * one.weight for one in members}, scores)


def weigh_branches(order: Sequence[ArrivedBranch], settings: MethodSettings) -> list[Weighed]:
    """Return branches with their weights: 1 each, or n_k / mean(n) of the training images that their manifests say."""
    if settings.weights == "equal":
        return [Weighed(arrived, 1.0) for arrived in order]
    # a manifest may say 0, and a merge of such branches alone must still be one
    counts = [max(arrived.manifest.training_images, 1) for arrived in order]
    mean = fsum(counts) / len(counts)
    return [Weighed(arrived, count / mean) for arrived, count in zip(order, counts, strict=True)]
