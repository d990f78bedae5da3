"""What a forge does with an arrival: the merge method and its parameters."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from medforge.aggregator.merge.built_in import LISTINGS
from medforge.aggregator.merge.listing import Coefficients, Level, Listing
from medforge.aggregator.merge.registry import listing_of, names
from medforge.digested import Digested
from medforge.errors import InvalidInput

Objective = Literal["cross-entropy", "reference"]


RECORDED = {"recorded": True}
# settings are read from commits that peers send, and shown at terminals
_METHOD = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


class MethodSettings(Digested):
    """Choose a merge method and set its coefficient search; the numbers' defaults are the paper's.

    ``level`` and ``coefficients`` may be left out: the method's own default fills them in. ``budget`` counts objective
    evaluations, ``bound`` limits every searched coefficient to [-bound, bound], ``start`` is where the search begins
    (0.5; LoRAHub's is 0), ``l1`` weighs mean|w| in the objective. ``objective`` is cross-entropy (ours), or what the
    published scripts minimise, so that both can be compared. ``parameters`` are the method's own numbers, of which
    those that are left out get its defaults.

    Raises InvalidInput for a method, level, coefficients, objective or parameter that do not exist or do not go
    together. Settings that a commit or a forge records (validated with the context `RECORDED`) are taken as they are
    written: their method may not be installed here, or have other parameters today. They can be read;
    `completed` makes them settings to fold by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset({"objective", "parameters"})

    method: str = Field(default="mixture", pattern=_METHOD)
    level: Level = "output"
    coefficients: Coefficients = "gated"
    budget: int = Field(default=40, ge=4, le=100_000)
    bound: float = Field(default=1.5, gt=0, le=100)
    start: float = Field(default=0.5, ge=-100, le=100)
    l1: float = Field(default=0.05, ge=0, le=100)
    seed: int = 0
    objective: Objective = "cross-entropy"
    parameters: dict[_ParameterName, FiniteFloat] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _choose_mode(cls, values: Any, info: ValidationInfo) -> Any:
        if not isinstance(values, dict):
            return values
        method = values.get("method", cls.model_fields["method"].default)
        listing = _listing(method, info)
        if listing is None:
            return values
        level, coefficients = values.get("level"), values.get("coefficients")
        fitting = [mode for mode in listing.modes if level in (None, mode[0]) and coefficients in (None, mode[1])]
        if not fitting:
            asked = " with ".join(f"{name} {values[name]!r}" for name in ("level", "coefficients") if values.get(name))
            known = "; ".join(f"level {a!r} with coefficients {b!r}" for a, b in listing.modes)
            raise InvalidInput(f"method {method!r} has no {asked}; choose one of: {known}")
        chosen: dict[str, Any] = {"method": method, "level": fitting[0][0], "coefficients": fitting[0][1]}
        given = values.get("parameters", {})
        if isinstance(given, Mapping):
            defaults = {name: parameter.default for name, parameter in listing.parameters.items()}
            chosen["parameters"] = {**defaults, **given}
        return {**listing.defaults, **values, **chosen}

    @model_validator(mode="after")
    def _known_parameters(self, info: ValidationInfo) -> "MethodSettings":
        listing = _listing(self.method, info)
        if listing is None:
            return self
        for name, value in self.parameters.items():
            parameter = listing.parameters.get(name)
            if parameter is None:
                known = f"its parameters are {', '.join(listing.parameters)}" if listing.parameters else "it has none"
                raise InvalidInput(f"method {self.method!r} has no parameter {name[:100]!r}; {known}")
            if not parameter.low <= value <= parameter.high:
                raise InvalidInput(
                    f"parameter {name} of {self.method} is {value:g}; "
                    f"choose a number from {parameter.low:g} to {parameter.high:g}"
                )
        return self

    @model_validator(mode="after")
    def _start_within_bounds(self) -> "MethodSettings":
        if abs(self.start) > self.bound:
            raise InvalidInput(f"start {self.start:g} lies outside ±{self.bound:g}; choose a start within the bound")
        return self

    @model_validator(mode="after")
    def _published_objective(self, info: ValidationInfo) -> "MethodSettings":
        listing = _listing(self.method, info)
        if listing and self.objective == "reference" and (self.level, self.coefficients) not in listing.reference:
            known = ", ".join(
                f"{name} {' '.join(mode)}" for name, of in LISTINGS.items() for mode in sorted(of.reference)
            )
            raise InvalidInput(
                f"the published scripts have no objective for {self.method} {self.level} {self.coefficients}; "
                f"leave objective 'reference' out, or choose one of: {known}"
            )
        return self

    @classmethod
    def of(cls, **values: Any) -> "MethodSettings":
        """Make settings from what a user typed, None where nothing; raises InvalidInput naming the wrong field."""
        try:
            return cls.model_validate({name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "a field"
            raise InvalidInput(f"merge setting {field} is wrong: {first['msg']}; change it") from error


def completed(settings: MethodSettings) -> MethodSettings:
    """Give settings that are on record what they lack to be folded by: the defaults of parameters that came later.

    Raises InvalidInput where the method is not installed here, or has the mode no more.
    """
    if settings.method not in names():
        raise InvalidInput(
            f"merge method {settings.method!r}, by which this forge folds, is not installed here; install the package "
            "that gives it to serve, fold or replay (to read and to withdraw needs no package)"
        )
    listing = listing_of(settings.method)
    if (settings.level, settings.coefficients) not in listing.modes:
        raise InvalidInput(
            f"merge method {settings.method!r} has no mode {settings.level} {settings.coefficients} here, by which "
            "this forge folds; install the version that has it"
        )
    defaults = {name: parameter.default for name, parameter in listing.parameters.items()}
    return settings.model_copy(update={"parameters": {**defaults, **settings.parameters}})


def parse_parameters(words: Iterable[str]) -> dict[str, float]:
    """Read parameters that a user typed as NAME=VALUE; raises InvalidInput for what is none, or comes twice."""
    parameters: dict[str, float] = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            number = float(value)
        except ValueError:
            raise InvalidInput(f"parameter {word!r} is not NAME=NUMBER; write it as in energy=0.99") from None
        if name in parameters:
            raise InvalidInput(f"parameter {name!r} is given twice; give it once")
        parameters[name] = number
    return parameters


def _listing(method: object, info: ValidationInfo) -> Listing | None:
    """None for settings that are on record: they stay what they were, whatever the method says of itself today."""
    return None if info.context == RECORDED else listing_of(method)
