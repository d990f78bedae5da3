"""Whether what answers is the forge that is meant, of this version, on this base, in this time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from medforge import __version__
from medforge.client.doctor.diagnosis import Diagnosis, State, problem, skipped
from medforge.errors import MedForgeError
from medforge.files import read_file
from medforge.proto import forge_pb2 as pb
from medforge.proto.certificates import now, read_time, spell_time
from medforge.proto.kit import Kit

_CLOCK_DRIFTS, _CLOCK_IS_WRONG = timedelta(minutes=1), timedelta(minutes=5)


def check_forge(answer: pb.DescribeReply | MedForgeError | None) -> Diagnosis:
    """See whether what answers is a forge, the kit's forge, and of this version."""
    if answer is None:
        return skipped("forge", "there is no connection")
    if isinstance(answer, MedForgeError):
        return problem("forge", answer)
    if _series(answer.software) != _series(__version__):
        return Diagnosis(
            "forge",
            "problem",
            f"the forge runs medforge {answer.software}, this is {__version__}",
            f"install medforge {answer.software} here, or ask whoever runs the forge to bring theirs up to date",
        )
    return Diagnosis("forge", "ok", f"{answer.forge}, medforge {answer.software}, {answer.commits} commits")


def check_clock(time: str | None, kit: Kit | None, ahead: int = 0) -> Diagnosis:
    """Compare this machine's clock with the forge's, or where that is silent with the day the kit was made.

    Where the forge knows that its own clock is `ahead` (seconds) of most contributors', theirs is what counts.
    """
    moment = now()
    there = read_time(time) if time else None
    if there is not None:
        apart = min(abs(there - moment), abs(there - timedelta(seconds=ahead) - moment))
        state: State = "ok" if apart < _CLOCK_DRIFTS else "warning" if apart < _CLOCK_IS_WRONG else "problem"
        what = f"this machine says {spell_time(moment)}, the forge {spell_time(there)}"
        return Diagnosis("clock", state, what, "" if state == "ok" else "set the clock, or let NTP keep it")
    if kit is not None and moment < kit.x509.not_valid_before_utc:
        begins = spell_time(kit.x509.not_valid_before_utc)
        what = f"this machine says {spell_time(moment)}, but the kit is valid from {begins} on"
        return Diagnosis("clock", "problem", what, "set the clock, or let NTP keep it")
    return skipped("clock", "the forge could not be asked for its time")


def check_base(reply: pb.DescribeReply | None, kit: Kit | None, workspace: Path | None) -> Diagnosis:
    """See whether forge, kit and the workspace's branch stand on the same base module."""
    from medforge.client.workspace import Workspace

    if reply is None:
        return skipped("base", "the forge could not be asked for its base module")
    if kit is not None and kit.card.base != reply.base:
        return Diagnosis(
            "base",
            "problem",
            f"the kit was made for base module {kit.card.base[:12]}, the forge stands on {reply.base[:12]}",
            "ask whoever runs the forge for a new kit",
        )
    place = Workspace(workspace) if workspace else None
    if place is None or place.committed is None:
        return Diagnosis("base", "ok", f"{reply.base_spec} ({reply.base[:12]}); there is no branch yet to compare")
    from medforge.manifest import MANIFEST_FILE, Manifest

    try:
        branch = Manifest.parse(read_file(place.branch / MANIFEST_FILE, "the manifest"))
    except MedForgeError as error:
        return problem("base", error)
    if branch.base != reply.base:
        return Diagnosis(
            "base",
            "problem",
            f"the branch stands on {branch.base_spec} ({branch.base[:12]}), the forge on {reply.base_spec} "
            f"({reply.base[:12]})",
            f"begin a new workspace with --base {reply.base_spec}",
        )
    return Diagnosis("base", "ok", f"{reply.base_spec} ({reply.base[:12]}), the branch's too")


def _series(version: str) -> list[str]:
    """Return the part of a version within which the wire stays the same."""
    return version.split(".")[:2]
