"""Which centre a node is: one of the run's plan in a simulation, its own on a hospital's machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from medforge.errors import InvalidInput
from medforge.proto.connection import Connection
from medforge.simulation.centres import Centre
from medforge_flower.plan import GRPC, Plan, Value


@dataclass(frozen=True)
class Node:
    """Hold a centre, where it works, and its turn and second in the order of arrival, if it has one.

    ``connection`` leads to the forge's own door where branches are delivered there.
    """

    centre: Centre
    workspace: Path
    turn: int | None = None
    due: float = 0.0
    connection: Connection | None = None


def node_of(config: Mapping[str, Value], plan: Plan) -> Node | None:
    """Return which centre a node's configuration means, None where a simulation has more nodes than centres.

    A node that was started with ``centre`` and ``source`` is its own, and comes when it comes; one of a simulation has
    a partition's number. Raises InvalidInput where a configuration says neither, or where branches are delivered at
    the forge's door and it leads to none; what `Kit.load` raises.
    """
    node = _whose(config, plan)
    return node if node is None or plan.deliver != GRPC else replace(node, connection=_door(config, plan))


def _door(config: Mapping[str, Value], plan: Plan) -> Connection:
    """Return how this node reaches the forge's own door: by its kit, or by the address that the run gives."""
    kit = Path(str(config["kit"])).expanduser() if "kit" in config else None
    if kit is None and plan.door is None:
        raise InvalidInput(
            "this node does not know the forge's door; start it with --node-config 'kit=\"DIR\"', or run with "
            "-c 'door=\"HOST:PORT\"' where no kit is needed"
        )
    return Connection.from_options(plan.door, kit)


def _whose(config: Mapping[str, Value], plan: Plan) -> Node | None:
    if "source" in config:
        return _own(config, plan)
    number = config.get("partition-id")
    if not isinstance(number, int):
        raise InvalidInput(
            "this node does not know whose it is; start it with --node-config "
            '\'centre="NAME" source="SOURCE:PATH"\', and perhaps task and workspace'
        )
    if number >= len(plan.arrivals):
        return None
    # the engine begins nodes by their number, so who is to come first begins first
    push = plan.arrivals[number]
    centre = next(one for one in plan.centres if one.name == push.name)
    return Node(centre, plan.out / "centres" / centre.name, number, push.due)


def _own(config: Mapping[str, Value], plan: Plan) -> Node:
    if "centre" not in config:
        raise InvalidInput('this node names a source and no centre; add centre="NAME" to its --node-config')
    name = str(config["centre"])
    centre = Centre(name=name, source=str(config["source"]), task=str(config.get("task", name)))
    return Node(centre, Path(str(config.get("workspace", plan.out / "centres" / name))).expanduser().absolute())
