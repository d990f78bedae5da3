"""Settings that fit a method of the catalogue: made from what a user typed, or completed from what is on record."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from medforge.aggregator.merge.catalogue import built_in, listing_of, names
from medforge.aggregator.merge.listing import UNIFORM, Listing, Mode
from medforge.aggregator.merge.settings import MEAN, SITES, MethodSettings
from medforge.errors import InvalidInput


def choose_settings(**values: Any) -> MethodSettings:
    """Return settings made from what a user typed, None where nothing.

    The method's own defaults fill in what is left out: its first mode that fits, its search settings, its parameters.
    Raises InvalidInput naming the field that is wrong, and for a method, level, coefficients, objective, parameter
    or expert that do not exist or do not go together.
    """
    given = {name: value for name, value in values.items() if value is not None}
    given.setdefault("method", _default_method(given))
    listing = listing_of(given["method"])
    level, coefficients = _mode(listing, given)
    defaults = {name: parameter.default for name, parameter in listing.parameters.items()}
    parameters = given.get("parameters", {})
    try:
        settings = MethodSettings.model_validate(
            {
                **listing.defaults,
                **given,
                "level": level,
                "coefficients": coefficients,
                "parameters": {**defaults, **parameters} if isinstance(parameters, Mapping) else parameters,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "a field"
        raise InvalidInput(f"merge setting {field} is wrong: {first['msg']}; change it") from error
    _check_parameters(settings, listing)
    _check_objective(settings, listing)
    _check_sample(settings)
    _check_expert(settings, listing)
    _check_unsearched(settings)
    return settings


def completed(settings: MethodSettings) -> MethodSettings:
    """Return recorded settings with what they lack to be folded by: the defaults of parameters that came later.

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
    _check_expert(settings, listing)
    defaults = {name: parameter.default for name, parameter in listing.parameters.items()}
    return settings.model_copy(update={"parameters": {**defaults, **settings.parameters}})


def parse_parameters(words: Iterable[str]) -> dict[str, float]:
    """Return parameters that a user typed as NAME=VALUE; raises InvalidInput for what is none, or comes twice."""
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


def _default_method(given: Mapping[str, Any]) -> str:
    """Return the default method; where only a mode of another is typed, the mixture, whose modes came before it."""
    default: str = MethodSettings.model_fields["method"].default
    asked = [given[name] for name in ("level", "coefficients") if name in given]
    return default if any(set(asked) <= set(mode) for mode in listing_of(default).modes) else "mixture"


def _mode(listing: Listing, given: Mapping[str, Any]) -> Mode:
    level, coefficients = given.get("level"), given.get("coefficients")
    fitting = [mode for mode in listing.modes if level in (None, mode[0]) and coefficients in (None, mode[1])]
    if not fitting:
        asked = " with ".join(f"{name} {given[name]!r}" for name in ("level", "coefficients") if given.get(name))
        known = "; ".join(f"level {a!r} with coefficients {b!r}" for a, b in listing.modes)
        raise InvalidInput(f"method {given['method']!r} has no {asked}; choose one of: {known}")
    return fitting[0]


def _check_parameters(settings: MethodSettings, listing: Listing) -> None:
    for name, value in settings.parameters.items():
        parameter = listing.parameters.get(name)
        if parameter is None:
            known = f"its parameters are {', '.join(listing.parameters)}" if listing.parameters else "it has none"
            raise InvalidInput(f"method {settings.method!r} has no parameter {name[:100]!r}; {known}")
        if not parameter.low <= value <= parameter.high:
            raise InvalidInput(
                f"parameter {name} of {settings.method} is {value:g}; "
                f"choose a number from {parameter.low:g} to {parameter.high:g}"
            )


def _check_expert(settings: MethodSettings, listing: Listing) -> None:
    if settings.expert == MEAN:
        return
    if listing.item != "routed":
        raise InvalidInput(f"method {settings.method!r} has no experts; leave expert out, or merge by routed")
    if settings.expert != SITES and not any(level == "layer" for level, _ in listing_of(settings.expert).modes):
        raise InvalidInput(
            f"method {settings.expert!r} makes no single network, so it cannot merge the branches of one task; choose "
            f"{MEAN}, {SITES}, or a method that works in the layers"
        )


def _check_unsearched(settings: MethodSettings) -> None:
    """Refuse weights and scaling where a method finds its own coefficients."""
    defaults = MethodSettings.model_fields
    asked = [name for name in ("weights", "scaling") if getattr(settings, name) != defaults[name].default]
    if asked and (settings.level, settings.coefficients) != UNIFORM:
        known = ", ".join(name for name in built_in() if UNIFORM in listing_of(name).modes)
        raise InvalidInput(
            f"method {settings.method!r} finds its own coefficients and takes no {' and no '.join(asked)}; "
            f"leave that out, or choose one of: {known}"
        )


def _check_sample(settings: MethodSettings) -> None:
    if settings.sample and settings.coefficients != "sequential":
        known = "; ".join(
            f"{name} {level} {coefficients}"
            for name in built_in()
            for level, coefficients in listing_of(name).modes
            if coefficients == "sequential"
        )
        raise InvalidInput(
            f"{settings.method} {settings.level} {settings.coefficients} makes no search on a sample of the branches; "
            f"leave sample out, or choose one of: {known}"
        )


def _check_objective(settings: MethodSettings, listing: Listing) -> None:
    if settings.objective == "reference" and (settings.level, settings.coefficients) not in listing.reference:
        known = ", ".join(
            f"{name} {' '.join(mode)}" for name in built_in() for mode in sorted(listing_of(name).reference)
        )
        raise InvalidInput(
            f"the published scripts have no objective for {settings.method} {settings.level} "
            f"{settings.coefficients}; leave objective 'reference' out, or choose one of: {known}"
        )
