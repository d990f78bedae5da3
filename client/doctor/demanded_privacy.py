"""Whether a workspace's differential privacy is what the forge demands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.client.doctor.diagnosis import Diagnosis, problem, skipped
from medforge.client.push import demanded_privacy
from medforge.errors import ForgeUnavailable, InvalidBranch, InvalidInput, MedForgeError
from medforge.files import read_file
from medforge.manifest import MANIFEST_FILE, Manifest
from medforge.privacy_facts import PrivacyBound, PrivacyFacts, PrivateUnit, said_privacy
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge

if TYPE_CHECKING:
    from medforge.client.settings import Settings
    from medforge.client.work import Work
    from medforge.client.workspace import Workspace

_CHECK = "epsilon"
_SECONDS = 10.0


def find_demanded(connection: Connection, say: Callable[[str], None]) -> PrivacyBound:
    """Ask a forge which differential privacy it demands; none where it cannot be asked, of which `say` hears.

    The push asks again. Raises what `RemoteForge` and `demanded_privacy` raise.
    """
    try:
        with RemoteForge(connection, _SECONDS) as forge:
            reply = forge.describe()
    except ForgeUnavailable as error:
        say(f"which differential privacy the forge demands is not known ({error}); the push asks again")
        return PrivacyBound()
    return demanded_privacy(reply, connection.address)


def check_will_keep(work: Work, bound: PrivacyBound) -> None:
    """Find out before hours of training whether the branch will claim what the forge demands.

    Raises InvalidInput where it will not.
    """
    from medforge.client.privacy.units import unit_of

    if not bound.demands or work.workspace.trained is not None:
        return
    if fault := bound.fault(_will_claim(work.settings, unit_of(work.task)), work.workspace.begun):
        raise InvalidInput(fault)


def check_demanded(reply: pb.DescribeReply | None, at: str, workspace: Path | None) -> Diagnosis:
    """See whether what the workspace was begun with, or the branch in it, keeps the bound that the forge sets."""
    from medforge.client.workspace import Workspace

    if reply is None:
        return skipped(_CHECK, "the forge could not be asked")
    try:
        bound = demanded_privacy(reply, at)
        if not bound.demands:
            return Diagnosis(_CHECK, "ok", "the forge demands none")
        if workspace is None or not Workspace(workspace).exists:
            asked = ", ".join(f"{name} {value}" for name, value in bound.model_dump(exclude_none=True).items())
            return Diagnosis(_CHECK, "warning", f"the forge demands {asked}", "begin the workspace with --epsilon")
        claimed = _claimed(Workspace(workspace))
        if fault := bound.fault(claimed):
            raise InvalidBranch(fault)
    except MedForgeError as error:
        return problem(_CHECK, error)
    return Diagnosis(_CHECK, "ok", f"{said_privacy(claimed)}, which the forge admits")


def _claimed(place: Workspace) -> PrivacyFacts | None:
    """Return what the branch claims, or will claim; whom it protects is known once it is trained."""
    if place.committed is not None:
        return Manifest.parse(read_file(place.branch / MANIFEST_FILE, "the manifest")).privacy
    return _will_claim(place.settings, "patient")


def _will_claim(settings: Settings, unit: PrivateUnit) -> PrivacyFacts | None:
    if settings.epsilon is None or settings.delta is None:
        return None
    return PrivacyFacts(epsilon=settings.epsilon, delta=settings.delta, unit=unit)
