"""What a merge method is given, and what it gives back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.coefficients.weights import WeightScorer
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.listing import Growth
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.sampling import sampled
from medforge.aggregator.merge.settings import MethodSettings
from medforge.base_module import BaseModule
from medforge.forge_item import ForgeItem

Item = TypeVar("Item", bound=ForgeItem)


@dataclass(frozen=True, eq=False)
class Head:
    """Hold the main branch as the next round meets it: every branch's coefficient (by digest); ``item`` reads it.

    There are no coefficients where the item's own cards say what every branch counts.
    """

    coefficients: Mapping[str, float]
    item: Callable[[], ForgeItem]


@dataclass(frozen=True, eq=False)
class Round:
    """Hold what one merge round may look at: every branch that has arrived so far, and the main branch before it.

    ``arrived`` is in arrival order and ends with the arriving branch; ``head`` is None in the first round; ``seed``
    belongs to this round alone.
    """

    base: BaseModule
    settings: MethodSettings
    seed: int
    arrived: tuple[ArrivedBranch, ...]
    head: Head | None
    probabilities: ProbabilityCache

    @property
    def arriving(self) -> ArrivedBranch:
        """The branch to fold."""
        return self.arrived[-1]

    @property
    def first(self) -> bool:
        """Whether there is no main branch to merge with yet."""
        return self.head is None

    @property
    def canonical(self) -> tuple[ArrivedBranch, ...]:
        """Everything that has arrived, sorted by digest: the same for every arrival order."""
        return tuple(sorted(self.arrived, key=lambda arrived: arrived.digest))

    @property
    def coefficients(self) -> Mapping[str, float]:
        """The coefficients before this round, by branch digest; none in the first."""
        return self.head.coefficients if self.head else {}

    @property
    def looked_at(self) -> tuple[ArrivedBranch, ...]:
        """The branches whose distilled images a sequential search looks at, the arriving one among them."""
        return sampled(self.arrived, self.settings.sample)

    def scorer(self, order: Sequence[ArrivedBranch]) -> WeightScorer:
        """Score weight changes on the distilled data of arrived branches, in the given order."""
        return WeightScorer(self.base, [arrived.labelled for arrived in order])

    def main(self, kind: type[Item]) -> Item:
        """Read the forge item before this round, which is of the kind that the method makes."""
        item = self.head.item() if self.head else None
        assert isinstance(item, kind), "a forge keeps one merge method for good"
        return item


@dataclass(frozen=True, eq=False)
class FoldResult:
    """Hold the new forge item, every branch's coefficient (by digest), and the score per task on distilled data."""

    item: ForgeItem
    coefficients: dict[str, float]
    metrics: dict[str, TaskScore]

    @property
    def recorded(self) -> dict[str, float]:
        """The coefficients that a commit has to say: none where the item's own cards do, or each would list them anew.

        Of a thousand branches they are 90 kB, at every commit.
        """
        return {} if self.item.shares else self.coefficients

    @property
    def head(self) -> Head:
        """The main branch as the next round meets it."""
        return Head(self.recorded, lambda: self.item)


class MergeMethod(ABC):
    """Fold an arriving branch into the main branch; stateless and deterministic.

    ``growth`` says whether an arrival costs more the more branches are there, under the method's defaults.
    """

    growth: ClassVar[Growth] = "linear"

    @abstractmethod
    def fold(self, merge_round: Round) -> FoldResult:
        """Run one merge round; raises InvalidBranch where the arriving branch cannot be merged."""
