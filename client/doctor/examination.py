"""All checks, in the order in which one thing needs another."""

from __future__ import annotations

from pathlib import Path

from medforge.client.doctor.centre import check_disk, check_images, check_privacy, check_receipt, check_workspace
from medforge.client.doctor.credentials import check_authorities, check_certificate, check_kit
from medforge.client.doctor.demanded_privacy import check_demanded
from medforge.client.doctor.diagnosis import Diagnosis, skipped
from medforge.client.doctor.forge import check_base, check_clock, check_forge
from medforge.client.doctor.network import SECONDS, check_name, check_proxy, check_tcp, check_tls
from medforge.client.doctor.packets import check_packets
from medforge.client.doctor.task import check_task
from medforge.errors import MedForgeError
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.remote import RemoteForge


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
        check_packets(connection, SECONDS) if reached else skipped("packets", "there is no connection"),
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


def _ask(connection: Connection) -> pb.DescribeReply | MedForgeError:
    try:
        with RemoteForge(connection, SECONDS) as forge:
            return forge.describe()
    except MedForgeError as error:
        return error
