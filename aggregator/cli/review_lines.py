"""What sites said of a commit, as lines that fit a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from medforge.aggregator.cli.plain import spell_name
from medforge.cli.lines import flow, table

if TYPE_CHECKING:
    from medforge.aggregator.ledger.review_records import Decision, KeptReview

_HEADS = ("task", "by", "images", "right", "lost", "gained", "routed away", "compared with")


def review_lines(
    mark: str | None, reviews: Sequence[KeptReview], decisions: Sequence[Decision], names: Mapping[str, str], width: int
) -> Iterator[str]:
    """Return how a commit stands by reviews: each reviewer's counts by task, and what was decided; nothing for none."""
    if mark is None and not reviews and not decisions:
        return
    yield ""
    yield f"reviews{f': {mark}' if mark else ''}"
    rows = [
        (
            task,
            spell_name(one.signed.review.reviewer, names),
            f"{'~' if one.signed.review.epsilon else ''}{seen.images}",
            f"{seen.right / seen.images:.3f}",
            str(seen.lost),
            str(seen.gained),
            str(seen.taken),
            "own alone" if seen.alone else (seen.baseline or "nothing")[:8],
        )
        for one in reviews
        for task, seen in one.signed.review.tasks.items()
    ]
    if rows:
        yield from table([_HEADS, *sorted(rows)], width, 2, right=range(2, 7))
    for decision in decisions:
        yield from flow((f"{'went live' if decision.standing == 'live' else 'harmful'}: {decision.reason}",), width, 2)
        if decision.standing == "live":
            for doubt in decision.objections:
                yield from flow((f"although {doubt}",), width, 2)
