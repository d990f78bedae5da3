"""What a merge method says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

ItemKind = Literal["plugin", "mixture", "weights", "routed"]
Level = Literal["output", "layer"]
Coefficients = Literal["sequential", "joint", "gated", "uniform"]
Growth = Literal["flat", "linear"]
Mode = tuple[str, str]
Weights = Literal["equal", "images"]
Scaling = Literal["given", "distilled"]
# every branch counts by its own weight: the mode of methods that search no coefficients
UNIFORM: Mode = ("layer", "uniform")
# names are read from commits that peers send, and shown at terminals
METHOD_NAME = r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$"
# settings in which a method may differ from the others
DEFAULTABLE = frozenset({"budget", "bound", "start", "l1"})


@dataclass(frozen=True)
class Parameter:
    """Describe a number that a method takes, from ``low`` to ``high``, both included."""

    default: float
    low: float
    high: float
    meaning: str

    def __post_init__(self) -> None:
        if not self.low <= self.default <= self.high:
            raise ValueError(f"the default {self.default} lies outside {self.low} to {self.high}")


def scale_parameter(default: float) -> Parameter:
    """Return the parameter ``scale`` λ that many methods take; a commit records it as every plugin's coefficient."""
    return Parameter(default, -10.0, 10.0, "what the merged weight change is multiplied by")


@dataclass(frozen=True)
class Listing:
    """Describe a method: where it lives, what it does, where it comes from, its modes and its parameters.

    ``module`` is where it is defined. ``item`` is the kind of forge item it makes: one plugin, a mixture, dense
    weights, or experts behind a router. ``modes`` are (level, coefficients), the default first;
    ``any_order`` are those whose result does not depend on the order of arrival, ``reference`` those for which the
    published scripts have an objective. ``distilled`` says whether it searches on distilled data: a method that does
    not needs plugins alone. ``growth`` says whether an arrival costs more the more branches are there, under
    the method's defaults. ``defaults`` are settings of the search in which the method differs from the others, of
    `DEFAULTABLE`.

    Raises ValueError where this does not fit together.
    """

    module: str
    item: ItemKind
    summary: str
    source: str
    modes: tuple[Mode, ...]
    distilled: bool
    growth: Growth = "linear"
    any_order: frozenset[Mode] = frozenset()
    reference: frozenset[Mode] = frozenset()
    defaults: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = [(level, coefficients) for level in get_args(Level) for coefficients in get_args(Coefficients)]
        if not self.modes or not set(self.modes) <= set(known):
            raise ValueError("its modes are not one or more of (level, coefficients) that forges know")
        if not self.any_order | self.reference <= set(self.modes):
            raise ValueError("it says something of a mode that it does not have")
        if self.growth not in get_args(Growth):
            raise ValueError(f"what an arrival costs grows in no way that is called {self.growth!r}")
        if self.item not in get_args(ItemKind):
            raise ValueError(f"it makes no forge item of the kind {self.item!r}")
        unknown = sorted(set(self.defaults) - DEFAULTABLE)
        if unknown:
            raise ValueError(f"there is no setting {unknown[0]!r} to differ in; there are {sorted(DEFAULTABLE)}")

    @property
    def arrival(self) -> str:
        """Say what an arrival costs beside a main branch of N."""
        if self.growth == "flat":
            return "the same at every N"
        return "more with N plugins and images" if self.distilled else "more with N plugins"

    def withdrawal(self, mode: Mode) -> str:
        """Say how a branch is taken out under a mode, which is exact under every mode."""
        return "exact, one fold" if mode in self.any_order else "exact, the others are folded again"

    def passes(self, mode: Mode) -> str:
        """Count the passes of one image through a main branch of N: outputs take one each, layers one in all.

        A gate takes one through the base, to choose, and one through what it chose.
        """
        level, coefficients = mode
        if level == "layer":
            return "1"
        return "2" if coefficients == "gated" else "N"
