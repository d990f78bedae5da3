"""Whether the centre's own workspace, disk and images are fit for work."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from medforge.client.doctor.diagnosis import Diagnosis, problem, skipped
from medforge.errors import MedForgeError
from medforge.files import open_to_others
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.kit import Kit

_GIB = 1 << 30


def check_workspace(kit: Kit | None, workspace: Path | None) -> Diagnosis:
    """See whether the workspace can be read, and in whose name its branch is committed."""
    from medforge.client.workspace import Workspace

    if workspace is None or kit is None:
        return skipped("workspace", "no workspace was given" if workspace is None else "no kit was given")
    try:
        contributor = Workspace(workspace).settings.contributor
    except MedForgeError as error:
        return problem("workspace", error)
    if contributor not in (None, kit.card.contributor, kit.card.display_name):
        what = f"{workspace} was begun as {contributor}'s; the branch is committed as {kit.card.name}'s"
        return Diagnosis("workspace", "ok", what)
    return Diagnosis("workspace", "ok", f"{workspace} works for {kit.card.name}")


def check_privacy(workspace: Path | None) -> Diagnosis:
    """See whether nobody else on this machine can read what the workspace holds of patients."""
    if workspace is None or not workspace.is_dir():
        return skipped("privacy", "no workspace was given" if workspace is None else "the workspace is not there")
    loose = sorted(open_to_others(workspace))
    if loose:
        return Diagnosis(
            "privacy",
            "warning",
            f"other users of this machine can read {len(loose)} files or folders of the workspace, such as {loose[0]}",
            f"chmod -R go= {shlex.quote(str(workspace))}, on a file system that keeps permissions",
        )
    return Diagnosis("privacy", "ok", f"nobody but its owner can read {workspace}")


def check_receipt(connection: Connection, reply: pb.DescribeReply | None, workspace: Path | None) -> Diagnosis:
    """See whether the forge still has what it gave a receipt for; what a restored forge lacks is pushed again."""
    from medforge.client.recovery import recover
    from medforge.client.workspace import Workspace

    if workspace is None or reply is None:
        return skipped("receipt", "no workspace was given" if workspace is None else "the forge could not be asked")
    try:
        place = Workspace(workspace)
        if place.pushed is None:
            return Diagnosis("receipt", "ok", "nothing was pushed from here yet")
        found = recover(place, connection)
    except MedForgeError as error:
        return problem("receipt", error)
    if found.problem is not None:
        return Diagnosis("receipt", "problem", found.problem, f"push by hand: medforge push --workspace {workspace}")
    if found.said:
        return Diagnosis("receipt", "warning", "; ".join(found.said), "nothing; this is said once")
    return Diagnosis("receipt", "ok", f"the forge has arrival {place.pushed.arrival}, as its receipt says")


def check_disk(place: Path, gib: float) -> Diagnosis:
    """See whether the workspace's disk has room."""
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    what = f"{free / _GIB:.1f} GiB are free at {place.resolve()}"
    if free < gib * _GIB:
        return Diagnosis("disk", "problem", f"{what}, {gib:g} are needed", "free some, or use a workspace elsewhere")
    return Diagnosis("disk", "ok", what)


def check_images(source: str) -> Diagnosis:
    """Read every image of a source and see whether anything would stop training."""
    from medforge.client.data.inspection.run import check

    found = check(source).found
    more = f"all of it: medforge check {source}"
    if found.problems:
        first, count = found.problems[0], len(found.problems)
        what = f"{first.place} {first.what}" + (f" (and {count - 1} more problems)" if count > 1 else "")
        return Diagnosis("images", "problem", what, f"{first.remedy}; {more}")
    if found.warnings:
        return Diagnosis("images", "warning", found.warnings[0].sentence, more)
    return Diagnosis("images", "ok", f"{found.images} images of {len(found.classes)} classes can be used")
