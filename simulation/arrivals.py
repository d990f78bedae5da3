"""Who arrives when: an order the user names, or a Poisson process drawn from the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from medforge.errors import InvalidInput


class ScheduledPush(BaseModel):
    """Say that a centre pushes no earlier than `due` seconds after the start of the run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    due: float = 0.0


def in_order(names: Sequence[str], order: str | None) -> tuple[ScheduledPush, ...]:
    """Schedule the centres in the order of `--order a,b,c`, or of `names` where none is given.

    Raises InvalidInput unless `order` names every centre exactly once.
    """
    if order is None:
        return tuple(ScheduledPush(name=name) for name in names)
    wanted = [name.strip() for name in order.split(",")]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise InvalidInput(
            f"--order names {unknown[0]!r}, which is no centre of this run; the centres are {', '.join(names)}"
        )
    missing = [name for name in names if name not in wanted]
    if missing or len(wanted) != len(names):
        fault = f"leaves out {missing[0]!r}" if missing else "names a centre twice"
        raise InvalidInput(f"--order {order} {fault}; name every centre exactly once: {','.join(names)}")
    return tuple(ScheduledPush(name=name) for name in wanted)


def poisson(names: Sequence[str], rate: float, seed: int) -> tuple[ScheduledPush, ...]:
    """Draw arrival times of a Poisson process of `rate` centres a minute, and who arrives at each.

    The gaps are exponential with mean 60 / rate seconds; the marks are a random permutation of the centres.
    """
    from medforge.seeds import numpy_generator

    random = numpy_generator(seed, "simulation", "arrivals")
    times = random.exponential(60.0 / rate, size=len(names)).cumsum()
    marks = random.permutation(len(names))
    return tuple(
        ScheduledPush(name=names[int(mark)], due=round(float(time), 3)) for mark, time in zip(marks, times, strict=True)
    )


def parse_rate(arrivals: str) -> float:
    """Read `poisson:RATE`, RATE in centres a minute. Raises InvalidInput unless RATE is a positive finite number."""
    kind, _, text = arrivals.partition(":")
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if kind != "poisson" or not math.isfinite(rate) or rate <= 0:
        raise InvalidInput(
            f"--arrivals {arrivals!r} cannot be used; write poisson:RATE, RATE > 0 centres a minute, as in poisson:2"
        )
    return rate


def schedule(names: Sequence[str], order: str | None, arrivals: str | None, seed: int) -> tuple[ScheduledPush, ...]:
    """Return every centre once, in arrival order. Raises InvalidInput when both or unusable options are given."""
    if order is not None and arrivals is not None:
        raise InvalidInput("--order and --arrivals exclude each other; give one of them")
    if arrivals is not None:
        return poisson(names, parse_rate(arrivals), seed)
    return in_order(names, order)
