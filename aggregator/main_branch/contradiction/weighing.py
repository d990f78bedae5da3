"""Weigh two sides that contradict each other: independent contributors are evidence, who came first is none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Party(NamedTuple):
    """Name an arrival and whose it is."""

    number: int
    contributor: str


def _nobody(parties: Collection[Party]) -> frozenset[str]:
    return frozenset()


@dataclass(frozen=True)
class Standing:
    """Say what is known of arrivals beside their own images.

    `decided` are those that the maintainer accepted, whom no contradiction takes out. `silent` are contributors who are
    in so many open contradictions that they have no voice in another. `supporters` returns which sites' reviews found,
    on images of their own, that a live commit with one of these arrivals in it answers their task; members whom
    `steadfast` sites or more support are taken out by nobody's voices.
    """

    decided: frozenset[int] = frozenset()
    silent: frozenset[str] = frozenset()
    supporters: Callable[[Collection[Party]], frozenset[str]] = _nobody
    steadfast: int = 3


NOTHING_KNOWN = Standing()


class Verdict(NamedTuple):
    """Say who speaks for an arriving branch and who against, whether it is held, and which members are.

    `decided` says that the maintainer has accepted somebody of one side, `proven` that so many sites' reviews speak for
    members that voices are not counted.
    """

    ours: frozenset[str]
    theirs: frozenset[str]
    held: bool
    out: tuple[int, ...]
    decided: bool = False
    proven: bool = False


def weigh(
    arriving: Party,
    members: Sequence[Party],
    members_agree: bool | None,
    agreeing: Sequence[Party],
    contradicting: Sequence[Party],
    standing: Standing,
) -> Verdict:
    """Say what follows where an arriving branch contradicts others of its question.

    ``members`` are those in the main branch, who agree with one another, and with the arriving one or not
    (``members_agree``; None where that cannot be said); ``agreeing`` and ``contradicting`` are those that wait because
    of an earlier contradiction. A side's voices are its contributors and its supporters, each once, and nobody has one
    on both sides. The side with more voices stays; where there are as many, neither does. Members whom enough sites'
    own images speak for stay in any case: names cost nothing, and images that no contributor chose do.
    """
    beside, against = list(agreeing), list(contradicting)
    if members_agree is not None:
        (beside if members_agree else against).extend(members)
    spoken, objected = (_voices(side, standing) for side in ([arriving, *beside], against))
    ours, theirs = spoken - objected, objected - spoken
    if not against or any(one.number in standing.decided for one in against + beside):
        held = any(one.number in standing.decided for one in against)
        return Verdict(ours, theirs, held, (), decided=bool(against))
    if members_agree is False and len(standing.supporters(members) & theirs) >= standing.steadfast:
        return Verdict(ours, theirs, True, (), proven=True)
    disputed = tuple(one.number for one in members) if members_agree is False else ()
    return Verdict(ours, theirs, len(ours) <= len(theirs), disputed if len(ours) >= len(theirs) else ())


def _voices(side: Sequence[Party], standing: Standing) -> frozenset[str]:
    if not side:
        return frozenset()
    return (frozenset(one.contributor for one in side) | standing.supporters(side)) - standing.silent
