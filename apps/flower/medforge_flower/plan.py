"""What a run is to do: read from Flower's run configuration, alike by the server and by every node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medforge.client.data.catalogue import names
from medforge.errors import InvalidInput
from medforge.simulation.arrivals import ScheduledPush, schedule
from medforge.simulation.centres import Centre, demonstration_recipe, parse_centres

Value = str | int | float | bool
REPLY = "reply"
GRPC = "grpc"


@dataclass(frozen=True)
class Plan:
    """Hold where a run writes, its centres in their order of arrival, and how each of them works."""

    out: Path
    centres: tuple[Centre, ...]
    arrivals: tuple[ScheduledPush, ...]
    branches: int
    base: str
    merge: str
    policy: tuple[str, ...]
    recipe: str | None
    changes: tuple[str, ...]
    plugin: str
    seed: int
    patience: float
    poll: float
    again: float
    deliver: str
    door: str | None

    @classmethod
    def read(cls, config: Mapping[str, Value]) -> Plan:
        """Read a run configuration. Raises InvalidInput for a value that cannot be used."""
        given, order = str(config["centres"]).split(), str(config["arrivals"]).strip()
        centres = parse_centres(given, names())
        base, seed = str(config["base"]), _whole(config, "seed")
        drawn = ":" in order
        arrivals = schedule(
            [centre.name for centre in centres], None if drawn else order or None, order if drawn else None, seed
        )
        branches = _whole(config, "branches")
        return cls(
            out=Path(str(config["out"])).expanduser().absolute(),
            centres=centres,
            arrivals=arrivals,
            branches=branches or len(centres),
            base=base,
            merge=str(config["merge"]),
            policy=tuple(str(config["policy"]).split()),
            recipe=str(config["recipe"]) or demonstration_recipe(given or None, base),
            changes=tuple(str(config["changes"]).split()),
            plugin=str(config["plugin"]),
            seed=seed,
            patience=_seconds(config, "patience"),
            poll=_seconds(config, "poll"),
            again=_seconds(config, "again", least=0.0),
            deliver=_way(config),
            door=str(config["door"]).strip() or None,
        )

    def turn(self, centre: str) -> int:
        """Return a centre's place in the order of arrival, from 0."""
        return [push.name for push in self.arrivals].index(centre)


def _way(config: Mapping[str, Value]) -> str:
    given = str(config["deliver"])
    if given not in (REPLY, GRPC):
        raise InvalidInput(
            f"deliver = {given} cannot be used; write {REPLY} (to Flower) or {GRPC} (at the forge's door)"
        )
    return given


def _whole(config: Mapping[str, Value], name: str) -> int:
    given = config[name]
    # True is an int to Python
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise InvalidInput(f"{name} = {given} cannot be used; give a whole number from 0 on")
    return given


def _seconds(config: Mapping[str, Value], name: str, least: float | None = None) -> float:
    """Return seconds above 0, or from ``least`` on."""
    given = config[name]
    if isinstance(given, bool | str) or not (given > 0 or given == least) or given == float("inf"):
        raise InvalidInput(
            f"{name} = {given} cannot be used; give seconds {'above 0' if least is None else f'from {least:g} on'}"
        )
    return float(given)
