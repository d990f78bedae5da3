"""What a merge method is given, and what it gives back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from medforge.aggregator.arrived import Arrived
from medforge.aggregator.commit import TaskScore
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.probabilities import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.forge_item import ForgeItem


@dataclass(frozen=True, eq=False)
class Round:
    """Hold what one merge round may look at: every branch that has arrived so far, and the main branch before it.

    ``arrived`` is in arrival order and ends with the arriving branch; ``coefficients`` are those of the previous commit
    (empty in the first round); ``main`` reads the previous forge item; ``seed`` belongs to this round alone.
    """

    base: BaseModule
    settings: MethodSettings
    seed: int
    arrived: tuple[Arrived, ...]
    coefficients: Mapping[str, float]
    main: Callable[[], ForgeItem]
    probabilities: ProbabilityCache

    @property
    def arriving(self) -> Arrived:
        """The branch to fold."""
        return self.arrived[-1]

    @property
    def first(self) -> bool:
        """Whether there is no main branch to merge with yet."""
        return len(self.arrived) == 1

    @property
    def canonical(self) -> tuple[Arrived, ...]:
        """Everything that has arrived, sorted by digest: the same for every arrival order."""
        return tuple(sorted(self.arrived, key=lambda arrived: arrived.digest))


@dataclass(frozen=True, eq=False)
class Folded:
    """Hold the new forge item, every branch's coefficient (by digest), and the score per task on distilled data."""

    item: ForgeItem
    coefficients: dict[str, float]
    metrics: dict[str, TaskScore]


class MergeMethod(ABC):
    """Fold an arriving branch into the main branch; stateless and deterministic."""

    @abstractmethod
    def fold(self, merge_round: Round) -> Folded:
        """Run one merge round; raises InvalidBranch where the arriving branch cannot be merged."""
