"""Hear what others of its question say of an arriving branch: members, and those that wait for a contradiction."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import median
from typing import NamedTuple

from scipy.stats import norm

from medforge.aggregator.forge.policy import Admission
from medforge.aggregator.main_branch.contradiction.weighing import Party, Standing, Verdict, weigh
from medforge.aggregator.main_branch.witness import Comparison, compare, drawn, of_its_question
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache

REMEDY = "check labels and prompts and push a new version, or ask the forge's maintainer to accept this one"
MOST_WAITING = 16
"""How many of those that wait for a contradiction are heard."""
_NAMED = 3


class Heard(NamedTuple):
    """Hold what one branch and the arriving one say of each other."""

    branch: ArrivedBranch
    found: Comparison


class Due(NamedTuple):
    """Hold what two branches of one question must show: likeness to the base module, and the plugins' agreement."""

    likeness: float
    plugins: float

    @classmethod
    def of(cls, admission: Admission) -> Due:
        """Read it from a policy, which counts four opinions, two of the base module and two of plugins."""
        # plugins of few images, or of another look, know nothing of each other's; worse than nothing is a contradiction
        return cls(admission.agreement / sqrt(2), -float(norm.isf(admission.significance)))

    def shown(self, found: Sequence[Comparison]) -> bool:
        """Say whether the middle one of several comparisons shows it."""
        alike, plugins = (median(values) for values in zip(*((c.likeness, c.plugins) for c in found), strict=True))
        return bool(alike >= self.likeness and plugins >= self.plugins)


class Contradiction(NamedTuple):
    """Hold a contradiction of an arriving branch with others, what the numbers are, and what follows.

    It is over classes that both have, or, of two tasks, over whose the images are: then `claimed` are members of the
    other task.
    """

    arriving: Party
    worst: Party
    evidence: str
    verdict: Verdict
    claimed: tuple[int, ...] = ()

    @property
    def reason(self) -> str:
        """Why the arriving branch is held."""
        return self._said(self.worst, self.verdict.ours, self.verdict.theirs)

    @property
    def reason_of_others(self) -> str:
        """Why members are held."""
        return self._said(self.arriving, self.verdict.theirs, self.verdict.ours)

    def _said(self, other: Party, own: frozenset[str], against: frozenset[str]) -> str:
        why = "whose task claims the same images" if self.claimed else "which has classes of its own"
        begin = f"it contradicts arrival {other.number} ({other.contributor}), {why}"
        return f"{begin}: {self.evidence}, {self._outcome(own, against)}; {REMEDY}"

    def _outcome(self, own: frozenset[str], against: frozenset[str]) -> str:
        if self.verdict.decided:
            return "and the maintainer has accepted the other side"
        if self.verdict.proven:
            return "and reviews of as many sites as it takes found, on their own images, that the other side is right"
        if len(own) == len(against):
            return "and the forge cannot know which, so both are held and the main branch goes on without them"
        if not own:
            return "and who speaks for it is in too many contradictions at a time to count"
        names = sorted(against)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return (
            f"and more contributors ({', '.join(names[:_NAMED])}{more}) speak against it than for it, which is "
            "evidence and no proof"
        )


class Hearing(NamedTuple):
    """Hold who of the main branch has the arriving branch's question, and what those say that can say anything."""

    arriving: Party
    question: tuple[Party, ...]
    members: tuple[Heard, ...]
    waiting: tuple[Heard, ...]

    @property
    def telling(self) -> bool:
        """Whether anybody can say anything."""
        return bool(self.members or self.waiting)


def hear(
    arriving: ArrivedBranch,
    earlier: Sequence[ArrivedBranch],
    waiting: Sequence[ArrivedBranch],
    probabilities: ProbabilityCache,
    admission: Admission,
) -> Hearing:
    """Compare an arriving branch with a few ``earlier`` ones of its question, and with those ``waiting`` of others."""
    question = of_its_question(arriving, earlier)
    others = [one for one in of_its_question(arriving, waiting) if one.contributor != arriving.contributor]
    due = Due.of(admission)

    def heard(branches: Sequence[ArrivedBranch]) -> tuple[Heard, ...]:
        found = probabilities.base.side_by_side(lambda one: Heard(one, compare(one, arriving, probabilities)), branches)
        # of so few images that even the like-minded would hardly differ from strangers, nothing is concluded
        return tuple(one for one in found if one.found.attainable >= 2 * due.likeness)

    return Hearing(
        party(arriving),
        tuple(map(party, question)),
        heard(drawn(arriving, question, admission.witnesses)),
        heard(drawn(arriving, others, MOST_WAITING if admission.witnesses else 0)),
    )


def contradiction(hearing: Hearing, admission: Admission, standing: Standing) -> Contradiction | None:
    """Say whom an arriving branch contradicts and what follows; None where it contradicts nobody."""
    due = Due.of(admission)
    members_agree = due.shown([one.found for one in hearing.members]) if hearing.members else None
    agreeing = [one for one in hearing.waiting if due.shown([one.found])]
    against = [one for one in hearing.waiting if not due.shown([one.found])]
    verdict = weigh(
        hearing.arriving,
        hearing.question,
        members_agree,
        [party(one.branch) for one in agreeing],
        [party(one.branch) for one in against],
        standing,
    )
    # a member is named before one that waits
    telling = hearing.members if members_agree is False else against
    if not telling:
        return None
    worst = min(telling, key=lambda one: (one.found.likeness + one.found.plugins, one.branch.number))
    return Contradiction(hearing.arriving, party(worst.branch), _evidence(worst.found, telling, due), verdict)


def party(branch: ArrivedBranch) -> Party:
    """Name a branch's arrival and whose it is."""
    return Party(branch.number, branch.contributor)


def _evidence(worst: Comparison, telling: Sequence[Heard], due: Due) -> str:
    alike, plugins = median(one.found.likeness for one in telling), median(one.found.plugins for one in telling)
    middles = f" (the least of {len(telling)}; their middles are {alike:.1f} and {plugins:.1f})"
    others = middles if len(telling) > 1 else ""
    return (
        f"the base module finds images of one class alike by z {worst.likeness:.1f}, and the plugins agree on each "
        f"other's by z {worst.plugins:.1f}{others}, where {due.likeness:.2g} and {due.plugins:.2g} are due; one of the "
        "two is wrong, or they have different images of one name"
    )
