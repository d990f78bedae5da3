"""The doors: each takes the branches of one seed in, by real processes, and names the directory of what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict

from benchmarks.doors.material import Material
from medforge.plugin import Plugin
from tests.aggregator.grids import Answer, MemoryGrid, Node
from tests.apps.engines import APP, Engine, engine, free_port
from tests.programs import Program, Server

FEDAVG = Path(__file__).parent / "fedavg"
if str(FEDAVG) not in sys.path:
    sys.path.insert(0, str(FEDAVG))

LONGEST = 3600.0


def own_door(material: Material) -> Path:
    """Make the branches, and push each over gRPC, by `medforge simulate`; return the forge's directory."""
    out = material.place / "grpc"
    if not (out / "result.json").exists():
        words = ["simulate", "--out", str(out), "--seed", str(material.seed), "--base", material.base_spec]
        words += ["--recipe", material.recipe, "--no-figures"]
        material.place.mkdir(parents=True, exist_ok=True)
        for option, values in (
            ("--centre", material.spelled),
            ("--recipe-set", material.changes),
            ("--policy", material.policy),
        ):
            words += [word for value in values for word in (option, value)]
        program = Program(words, material.place / "grpc.log")
        assert program.wait(LONGEST) == 0, program.said()
    return out / "forge"


def simulated(material: Material) -> Path:
    """Let Flower's simulation engine reply with the branches."""
    out = material.place / "simulation"
    if not (out / "forge").exists():
        material.lend(out)
        with _simulation(material.place) as flower:
            flwr(flower, APP, material.config(out) | _forge(material), len(material.centres))
    return out / "forge"


def deployed(material: Material) -> Path:
    """Let SuperNodes reply with the branches."""
    out = material.place / "deployment"
    if not (out / "forge").exists():
        material.lend(out)
        with superlink(material.place) as (flower, port):
            start_nodes(flower, material, out, port)
            flwr(flower, APP, material.config(out) | _forge(material))
    return out / "forge"


def delivered(material: Material) -> Path:
    """Let SuperNodes push the branches at the forge's own door, and reply with the receipt."""
    out = material.place / "delivery"
    if not (out / "forge").exists():
        material.lend(out)
        policy = [word for value in material.policy for word in ("--policy", value)]
        with (
            Server(out / "forge", material.base_spec, *policy) as served,
            superlink(material.place) as (flower, port),
        ):
            served.up()
            start_nodes(flower, material, out, port)
            flwr(flower, APP, material.config(out) | _forge(material) | {"deliver": "grpc", "door": served.at})
            served.stop()
    return out / "forge"


def averaged(material: Material) -> Path:
    """Let Flower's FedAvg train one plugin, its app's two sides in this process; return the directory of its rounds."""
    from medforge_fedavg import client_app, server_app

    out = material.place / "fedavg"
    if not (out / "done").exists():
        config: dict[str, Any] = material.config(out) | {"rounds": material.rounds}

        def node(partition: int) -> Node:
            def answer(message: Message) -> Answer:
                context = Context(1, partition + 1, {"partition-id": partition}, RecordDict(), config)
                reply = client_app.app(message, context)
                return reply.error if reply.has_error() else reply.content

            return Node(answer, replies=0)

        nodes = {number + 1: node(number) for number in range(len(material.centres))}
        server_app.app(RoundGrid(nodes), Context(1, 0, {}, RecordDict(), config))
        (out / "done").touch()
    return out


class RoundGrid(MemoryGrid):
    """Answer a round's messages at once; accuracy is the same as in an engine, which starts a process a message."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Return every node's reply."""
        return self.pull_messages(self.push_messages(messages))


def plugin_of(out: Path, number: int) -> Plugin:
    """Read the plugin of a round."""
    return Plugin.load(out / "rounds" / str(number))


def flwr(flower: Engine, app: Path, config: Mapping[str, object], nodes: int | None = None) -> str:
    """Run an app to its end in an engine that is up; return what it said."""
    path = write_config(flower, config)
    more = [] if nodes is None else ["--federation-config", f"num-supernodes={nodes}"]
    said = flower.call("flwr", "run", app, "here", "--stream", "-c", path, *more, seconds=LONGEST)
    (flower.home / "said.log").write_text(said, encoding="utf-8")
    # it ends with 0 also where the run failed, or where its words stopped coming
    assert "page " in said, said
    return said


def write_config(flower: Engine, config: Mapping[str, object]) -> Path:
    """Write a run configuration into an engine's home."""
    path = flower.home / "run.toml"
    path.write_text("\n".join(f"{name} = {_toml(value)}" for name, value in config.items()), encoding="utf-8")
    return path


@contextmanager
def superlink(place: Path, *options: object) -> Iterator[tuple[Engine, int]]:
    """Have a SuperLink on this machine for a while."""
    port = free_port()
    with engine(place / f"flower-{time.time_ns()}") as flower:
        flower.connect(port)
        flower.wait(flower.start("superlink", "flower-superlink", "--insecure", "--port", port, *options), "Uvicorn")
        yield flower, port


@contextmanager
def _simulation(place: Path) -> Iterator[Engine]:
    with superlink(place, "--simulation") as (flower, _):
        yield flower


def start_nodes(flower: Engine, material: Material, out: Path, port: int) -> None:
    """Start a SuperNode for each centre."""
    for centre in material.centres:
        own = {"centre": centre.name, "task": centre.task, "source": centre.source}
        own["workspace"] = str(out / "centres" / centre.name)
        flower.start(
            centre.name, "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{port}", "--port", free_port(),
            "--node-config", " ".join(f'{key}="{value}"' for key, value in own.items()),
        )  # fmt: skip


def _forge(material: Material) -> dict[str, object]:
    return {"branches": len(material.centres), "policy": " ".join(material.policy), "override": "a benchmark"}


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
