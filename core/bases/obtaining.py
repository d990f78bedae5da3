"""Having all of a base module here: what is missing is fetched once, after one question whether its server answers."""

from __future__ import annotations

from medforge.bases.hub import check_reachable
from medforge.bases.plan import BasePlan, plan_base
from medforge.bases.spec import Checkpoint, Published, Repository, Snapshot
from medforge.errors import InvalidInput

_ROUNDS = 3
"""A repository's configuration names the files of other repositories, so what is missing is known step by step."""


def check_obtainable(spec: str, asked: Published | Checkpoint | Repository | Snapshot) -> None:
    """Raise InvalidInput where a base module cannot run here, or is not here and its server does not answer.

    Fetches nothing.
    """
    plan = plan_base(spec, asked)
    if plan.missing:
        check_reachable(plan.missing, spec)


def obtain(spec: str, asked: Published | Checkpoint | Repository | Snapshot) -> BasePlan:
    """Return the plan of a base module of which nothing is missing any more.

    Raises InvalidInput, in one sentence and in less than three seconds where no server answers.
    """
    plan = plan_base(spec, asked)
    for _ in range(_ROUNDS):
        if not plan.missing:
            return plan
        check_reachable(plan.missing, spec)
        for file in plan.missing:
            file.fetch()
        plan = plan_base(spec, asked)
    raise InvalidInput(f"base module {spec} is not whole: its publisher lacks {plan.missing[0]}; choose another")
