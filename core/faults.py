"""Named points at which a test makes this process fail; without MEDFORGE_FAULT in the environment they do nothing.

`MEDFORGE_FAULT="between blob and ledger"` ends the process by SIGKILL when it first comes there, `"…:3"` the third
time. `"…:3=full"` raises there, that one time, what a full disk raises, and `"…=freeze"` stops the whole process until
it gets SIGCONT. Before anything happens the process says so on stderr, so that a test knows that its fault took place.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import signal
import time
from dataclasses import dataclass
from functools import cache

from medforge.errors import InvalidInput

_STOPPING_SECONDS = 0.5
VARIABLE = "MEDFORGE_FAULT"

POINTS = {
    "starting": "a server has opened its forge, and has not yet taken up what an earlier one left",
    "during upload": "a chunk of a blob is written, and neither synced nor answered",
    "before blob": "a blob is whole and verified, and does not bear its name yet",
    "between parts of a blob": "a part of a blob is where blobs lie elsewhere, and others are not",
    "between blob and ledger": "all blobs of a branch are durable, and it has no arrival number yet",
    "between ledger and receipt": "the arrival is durable, and its contributor has not heard of it",
    "during fold": "a fold, or a main branch without a withdrawn branch, is computed, and nothing of it is stored",
    "during student": "a student's training has written its state, and goes on",
    "between forge item and commit": "a forge item is stored, and its commit is not",
    "after commit": "a commit is durable, and nobody has heard of it",
    "during erasure": "one blob of a withdrawn branch is deleted, and others are not",
    "before a file": "a file that is replaced as a whole is written and synced, and does not bear its name yet",
    "before succession": "a forge's next key is saved, and the old one has not signed it",
    "after succession": "the old key has signed the next one, which does not bear its name yet",
    "before a new authority": "another CA lies beside the forge's own, and the journal does not name it yet",
    "after a new authority": "the journal names another CA, which is not in its place yet",
    "before backup is checked": "a backup is written and synced, and neither read back nor named",
    "before restored ledger": "a restored forge lies aside, and the database that is to have its ledger is empty",
    "before restored forge": "a restored forge is whole, and does not bear its name yet",
    "before the upgrade": "a forge of an earlier version is checked and kept as it was, and nothing of it has changed",
    "before the upgrade is durable": "every step to another schema is taken, and its transaction has not ended",
    "after the upgrade": "a ledger has another schema, and nobody has heard of it",
    "before review": "a review is checked, and not in the ledger yet",
    "after review": "a review is durable, and its reviewer has not heard of it",
    "before decision": "what the reviews there are lead to is known, and not in the ledger",
    "between decision and hold": "a commit is found harmful, and the arrival that it came with is still in",
    "during push": "the client has heard that a chunk came, and sends more",
    "before submit": "the client has uploaded everything, and submits",
    "before receipt": "the client holds the receipt in memory, and has not saved it",
    "before sending a review": "the client has counted its images, and sends the counts",
    "after sending a review": "the forge has a review, and its site does not remember it yet",
    "after checkpoint": "the client has just saved a checkpoint of its training or distillation",
}
ACTIONS = ("kill", "full", "freeze")

_PLAN = re.compile(r"(?P<point>[^:=]+)(?::(?P<time>[1-9][0-9]*))?(?:=(?P<action>[a-z]+))?")
# next() of a count is one step, so two threads never get the same number
_times = itertools.count(1)


@dataclass(frozen=True)
class _Plan:
    point: str
    time: int
    action: str


def reached(point: str) -> None:
    """Say that the process is at a point of `POINTS`; fails there where, and when, the environment asks for it.

    Raises InvalidInput for an environment that names no point or action, and OSError (ENOSPC) for the action "full".
    """
    plan = _plan()
    if plan is not None and plan.point == point and next(_times) == plan.time:
        _fail(plan)


def _fail(plan: _Plan) -> None:
    os.write(2, f"medforge: fault: {plan.action} at {plan.point!r}, time {plan.time}\n".encode())
    if plan.action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.kill(os.getpid(), signal.SIGSTOP if plan.action == "freeze" else signal.SIGKILL)
    # the kernel may stop another thread first, and this one must not go on in between
    time.sleep(_STOPPING_SECONDS)


@cache
def _plan() -> _Plan | None:
    """Read the environment once."""
    asked = os.environ.get(VARIABLE)
    if not asked:
        return None
    read = _PLAN.fullmatch(asked)
    point, action = (read["point"], read["action"] or "kill") if read else (asked, "kill")
    if read is None or point not in POINTS:
        raise InvalidInput(f"{VARIABLE} names no fault point ({asked!r}); choose one of: {', '.join(POINTS)}")
    if action not in ACTIONS:
        raise InvalidInput(f"{VARIABLE} asks for {action!r} at {point!r}; choose one of: {', '.join(ACTIONS)}")
    return _Plan(point, int(read["time"] or 1), action)
