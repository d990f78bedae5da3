"""How tables, charts and sentences of a benchmark write numbers and orders."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from medforge.assessment.digits import decimals
from medforge.simulation.benchmark.results.curves import EpochsNeeded
from medforge.simulation.benchmark.results.result import OrdersResult
from medforge.simulation.benchmark.results.rows import PaperScore
from medforge.simulation.benchmark.results.scores import Measure

ARROW = " → "
NONE = "–"


def number(value: float | None, answers: int | None = None) -> str:
    """Write .912 as the paper does, without the leading zero; a dash for None and NaN.

    It has three digits, or of so many answers as many as `medforge.assessment.digits` allows them.
    """
    if value is None or math.isnan(value):
        return NONE
    digits = f"{abs(value):.{3 if answers is None else min(3, decimals(answers))}f}".removeprefix("0")
    return f"−{digits}" if value < 0 and digits.strip(".0") else digits


def measured(measure: Measure | None, answers: int | None = None) -> str:
    """Write .912 ± .008, .912 where there was one seed, or a dash for None; `answers` as in `number`."""
    if measure is None:
        return NONE
    mean = number(measure.mean, answers)
    return mean if measure.std is None else f"{mean} ± {number(measure.std, answers)}"


def published(score: PaperScore | None) -> str:
    """Write a paper's accuracy over its AUC, where it has one, or a dash."""
    if score is None:
        return NONE
    return number(score.acc) if score.auc is None else f"{number(score.acc)}\n{number(score.auc)}"


def points(difference: float) -> str:
    """Write a difference of accuracies as percentage points, without its sign."""
    text = f"{abs(difference) * 100:.1f}"
    return f"{text} point" if text == "1.0" else f"{text} points"


def against(difference: float) -> str:
    """Say on which side of something else an accuracy lies, and how far."""
    if f"{abs(difference) * 100:.1f}" == "0.0":
        return "level with"
    return f"{points(difference)} {'above' if difference > 0 else 'below'}"


def arrows(order: Sequence[str]) -> str:
    """Write an order as lung → colon → brain."""
    return ARROW.join(order)


def listed(words: Sequence[str]) -> str:
    """Join words as a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def short_names(names: Sequence[str], width: int) -> dict[str, str]:
    """Shorten names to `width` characters (at least 4) so that they stay different from each other.

    The end is cut off; where that makes two names equal, the middle; and where that does too, they are numbered.
    """
    width = max(4, width)
    back = width // 2 - 1 if width > 5 else 1
    ways: tuple[Callable[[str, int], str], ...] = (
        lambda name, _: name[: width - 1] + "…",
        lambda name, _: name[: width - 1 - back] + "…" + name[-back:],
        lambda name, place: name[: width - 1 - len(str(place))] + "…" + str(place),
    )
    for way in ways:
        short = {name: name if len(name) <= width else way(name, place) for place, name in enumerate(names, start=1)}
        if len(set(short.values())) == len(short):
            break
    return short


def orders_of(result: OrdersResult) -> str:
    """Say how many orders were run: all 24 orders, or 120 of the 720 orders."""
    count = max((len({run.order for run in method.runs}) for method in result.methods), default=0)
    if result.exhaustive:
        return "the one order" if count == 1 else f"all {count} orders"
    return f"{count} of the {math.factorial(len(result.provenance.tasks)):,} orders"


def epochs(found: EpochsNeeded) -> str:
    """Write a mean number of epochs, and how many runs came so far where not all did."""
    if found.epochs is None:
        return NONE
    text = f"{found.epochs:.1f}"
    return text if found.count == found.of else f"{text} ({found.count} of {found.of})"


def size(count: float) -> str:
    """Write a number of bytes as 1.4 MB, 310 kB or 12 B."""
    for unit, least in (("MB", 1e6), ("kB", 1e3)):
        if count >= least:
            return f"{count / least:.1f} {unit}" if count < 100 * least else f"{count / least:,.0f} {unit}"
    return f"{count:.0f} B"
