"""What stands between a centre and its forge: each check says what it found and how to mend it."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
from datetime import timedelta
from pathlib import Path

from medforge import __version__
from medforge.client.diagnosis import Diagnosis, State, problem, skipped
from medforge.client.packet_check import check_packets
from medforge.client.privacy_check import check_demanded
from medforge.client.task_check import check_task
from medforge.errors import ForgeUnavailable, InvalidInput, MedForgeError
from medforge.files import open_to_others, read_file
from medforge.proto import forge_pb2 as pb
from medforge.proto.address import split_address
from medforge.proto.certificates import ENDS_SOON, days_until, now, read_time, spell_time
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.forge_authorities import authorities_from_message
from medforge.proto.handshake import handshake
from medforge.proto.kit import Kit
from medforge.proto.proxy import check_supported, connect, proxy_for
from medforge.proto.remote import RemoteForge

_SECONDS = 5.0
_CLOCK_DRIFTS, _CLOCK_IS_WRONG = timedelta(minutes=1), timedelta(minutes=5)
_GIB = 1 << 30
_UNREAD = ("ALL_PROXY", "all_proxy")


def examine(
    connection: Connection, workspace: Path | None = None, disk_gib: float = 1.0, source: str | None = None
) -> list[Diagnosis]:
    """Check the way to a forge, and what the centre itself needs; raises nothing for what it checks."""
    at, kit = connection.address, connection.kit
    found = [check_kit(kit), check_name(at), check_proxy(at), check_tcp(at)]
    reached = found[-1].state == "ok"
    found.append(check_tls(connection) if reached else skipped("TLS", "there is no connection"))
    answer = _ask(connection) if reached else None
    reply = answer if isinstance(answer, pb.DescribeReply) else None
    return [
        *found,
        check_packets(connection, _SECONDS) if reached else skipped("packets", "there is no connection"),
        check_certificate(kit, answer if isinstance(answer, NotAllowed) else None),
        check_authorities(reply, kit),
        check_forge(answer),
        check_clock(reply.time if reply else None, kit, reply.clock_ahead if reply else 0),
        check_base(reply, kit, workspace),
        check_workspace(kit, workspace),
        check_privacy(workspace),
        check_task(reply, kit, workspace),
        check_demanded(reply, at, workspace),
        check_receipt(connection, reply, workspace),
        check_disk(workspace or Path(), disk_gib),
        *([] if source is None else [check_images(source)]),
    ]


def check_kit(kit: Kit | None) -> Diagnosis:
    """See whether the kit's secrets are secret; that its parts belong together has been seen when it was opened."""
    if kit is None:
        return skipped("kit", "no kit was given")
    loose = kit.readable_by_others()
    if loose:
        files = " ".join(str(kit.directory / name) for name in loose)
        return Diagnosis(
            "kit", "warning", f"other users of this machine can read {' and '.join(loose)}", f"chmod 600 {files}"
        )
    return Diagnosis("kit", "ok", f"{kit.card.contributor}, for forge {kit.card.forge}")


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


def check_name(at: str) -> Diagnosis:
    """Resolve the forge's host name."""
    host, port = split_address(at)
    if _is_literal(host):
        return skipped("DNS", f"{host} is an address, not a name")
    if proxy_for(host) is not None:
        return skipped("DNS", "the proxy resolves the name")
    try:
        places = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        return Diagnosis(
            "DNS",
            "problem",
            f"no address is known for {host} ({error.strerror})",
            "check the spelling; have the name added to the DNS that this machine asks",
        )
    return Diagnosis("DNS", "ok", f"{host} is {', '.join(sorted(places))}")


def check_proxy(at: str) -> Diagnosis:
    """See whether the forge is called through a proxy, and whether that one lets it."""
    host, _ = split_address(at)
    try:
        check_supported(host)
    except InvalidInput as error:
        return problem("proxy", error)
    proxy = proxy_for(host)
    if proxy is None:
        unread = [name for name in _UNREAD if os.environ.get(name)]
        if unread and not any(name in os.environ for name in ("no_proxy", "no_grpc_proxy")):
            return Diagnosis(
                "proxy",
                "warning",
                f"{unread[0]} is set, but it is not read here, and the forge is called directly",
                "if this site needs the proxy, set https_proxy to http://HOST:PORT",
            )
        return Diagnosis("proxy", "ok", f"none; {at} is called directly")
    try:
        connect(at, _SECONDS).close()
    except ForgeUnavailable as error:
        return problem("proxy", error)
    except OSError as error:
        return Diagnosis(
            "proxy",
            "problem",
            f"the proxy {proxy.address} ({proxy.variable}) cannot be reached ({error.strerror or error})",
            f"correct {proxy.variable}, or name {host} in no_proxy",
        )
    return Diagnosis("proxy", "ok", f"{at} is called through {proxy.address} ({proxy.variable})")


def check_tcp(at: str) -> Diagnosis:
    """Open a connection to the forge's port."""
    host, port = split_address(at)
    try:
        connect(at, _SECONDS).close()
    except ConnectionRefusedError:
        return Diagnosis(
            "TCP", "problem", f"nothing listens on port {port} of {host}", "check the port; ask whether the forge is up"
        )
    except TimeoutError:
        return Diagnosis(
            "TCP",
            "problem",
            f"{at} does not answer within {_SECONDS:g} s",
            f"have outgoing TCP to port {port} of {host} opened in the firewall",
        )
    except OSError as error:
        return Diagnosis("TCP", "problem", f"no connection to {at} ({error.strerror or error})", "check the network")
    except ForgeUnavailable as error:
        return problem("TCP", error)
    return Diagnosis("TCP", "ok", f"port {port} of {host} is open")


def check_tls(connection: Connection) -> Diagnosis:
    """Meet the forge over TLS, each proving itself to the other."""
    if connection.tls is None:
        return skipped("TLS", "without a kit, or with --plaintext, the connection is not encrypted")
    try:
        peer = handshake(connection.address, connection.tls, _SECONDS)
    except MedForgeError as error:
        return problem("TLS", error)
    return Diagnosis("TLS", "ok", f"{peer.version}; the forge's certificate names the kit's forge")


def check_certificate(kit: Kit | None, refusal: NotAllowed | None = None) -> Diagnosis:
    """See whether the kit's certificate is valid, for how long, and whether the forge still honours it."""
    if kit is None:
        return skipped("certificate", "no kit was given")
    moment = now()
    try:
        kit.check_valid(moment)
    except InvalidInput as error:
        return problem("certificate", error)
    if refusal is not None:
        return problem("certificate", refusal)
    ends = kit.ends
    if ends - moment < ENDS_SOON:
        return Diagnosis(
            "certificate",
            "warning",
            f"it ends in {days_until(ends, moment)}, on {spell_time(ends)}",
            "ask whoever runs the forge for a new kit (`medforge invite --renew`) before then",
        )
    return Diagnosis("certificate", "ok", f"valid for {days_until(ends, moment)}, until {spell_time(ends)}")


def check_authorities(reply: pb.DescribeReply | None, kit: Kit | None) -> Diagnosis:
    """See whether the kit remembers which CA follows the one that it came with, where the forge has another."""
    if kit is None or reply is None:
        return skipped("CA", "no kit was given" if kit is None else "the forge could not be asked for its CAs")
    try:
        links = authorities_from_message(reply)
        remembered = kit.learn(links)
    except MedForgeError as error:
        return problem("CA", error)
    if not links:
        return Diagnosis("CA", "ok", "the forge has the CA that the kit came with")
    newest = links[-1]
    ends = spell_time(newest.until)
    what = f"the forge has another CA since {spell_time(newest.since)}; the one before is trusted until {ends}"
    if remembered:
        return Diagnosis("CA", "ok", f"{what}, and the kit knows both")
    fix = f"let whoever runs medforge write into {kit.directory}, or ask for a new kit before then"
    return Diagnosis("CA", "warning", f"{what}, which the kit cannot remember", fix)


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


def _ask(connection: Connection) -> pb.DescribeReply | MedForgeError:
    try:
        with RemoteForge(connection, _SECONDS) as forge:
            return forge.describe()
    except MedForgeError as error:
        return error


def _is_literal(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
            return True
        except OSError:
            continue
    return False


def _series(version: str) -> list[str]:
    """Return the part of a version within which the wire stays the same."""
    return version.split(".")[:2]
