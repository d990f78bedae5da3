"""One centre of several is slow, or gone: how long the others wait for a model, in real processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.doors.doors import FEDAVG, start_nodes, superlink, write_config
from benchmarks.doors.material import Material
from benchmarks.doors.slowing import Slowed, kill
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.settings import existing_settings
from medforge.aggregator.ledger.records import State
from tests.apps.engines import APP, Engine
from tests.programs import Program, Server

CONDITIONS = ("all well", "one slow", "one gone")
LOOK_SECONDS = 0.2
GIVEN_UP_SECONDS = 900.0


class Course:
    """Follow one run: which of the centres are in the model that the others can use, and since when."""

    def __init__(self, material: Material, out: Path, condition: str) -> None:
        self.material, self.out, self.condition = material, out, condition
        self.names = [centre.name for centre in material.centres]
        self.victim = self.names[-1]
        self.began = time.monotonic()

    def follow(self, pid: int, working: Callable[[], bool], others: Callable[[], bool]) -> dict[str, float | None]:
        """Hurt the victim's process once it works; return the seconds until the model has all that the others did."""
        with ExitStack() as stack:
            if self.condition != "all well":
                self._wait(working)
            if self.condition == "one slow":
                stack.enter_context(Slowed(pid))
            if self.condition == "one gone":
                kill(pid)
            return {"others": self._wait(others)}

    def _wait(self, holds: Callable[[], bool]) -> float | None:
        while not holds():
            if time.monotonic() - self.began > GIVEN_UP_SECONDS:
                return None
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - self.began

    def folded(self) -> set[str]:
        """Return who is in the forge's main branch."""
        if existing_settings(self.out / "forge") is None:
            return set()
        forge = Forge.open(self.out / "forge")
        try:
            return {one.contributor for one in forge.ledger.arrivals(State.FOLDED)}
        finally:
            forge.close()

    def round(self) -> int:
        """Return the last round that federated averaging ended."""
        try:
            return int(json.loads((self.out / "rounds.json").read_text())[-1]["round"])
        except (FileNotFoundError, ValueError, IndexError):
            return -1

    def trains(self) -> bool:
        """Say whether the victim has begun to train."""
        return (self.out / "centres" / self.victim / "training").exists()

    def into_the_forge(self, pid: int) -> Any:
        """Follow a run that ends in a forge."""
        others = set(self.names) - {self.victim}
        return self.follow(pid, self.trains, lambda: others <= self.folded())


def faults(material: Material, door: str) -> Iterator[dict[str, Any]]:
    """Run a door in all conditions."""
    for condition in CONDITIONS:
        out = material.place / "faults" / door / condition.replace(" ", "-")
        course = Course(material, out, condition)
        yield {"door": door, "condition": condition, "seed": material.seed, **RUNS[door](course)}


def _own_door(course: Course) -> Any:
    material = course.material
    options = ["--base", material.base_spec, "--recipe", material.recipe, "--seed", str(material.seed)]
    options += [word for value in material.changes for word in ("--recipe-set", value)]
    course.out.mkdir(parents=True)
    policy = [word for value in material.policy for word in ("--policy", value)]
    with Server(course.out / "forge", material.base_spec, *policy) as served:
        served.up()
        course.began = time.monotonic()
        programs = {}
        for centre in material.centres:
            place = ("--workspace", course.out / "centres" / centre.name, "--task", centre.task)
            words = ["contribute", centre.source, *place, "--contributor", centre.name, "--at", served.at, *options]
            programs[centre.name] = Program([*words, "--override", "a benchmark"], course.out / f"{centre.name}.log")
        seconds = course.into_the_forge(programs[course.victim].pid)
        for program in programs.values():
            program.kill()
    return seconds


def _deployment(course: Course) -> Any:
    material = course.material
    config = material.config(course.out) | {"branches": len(material.centres), "override": "a benchmark"}
    config |= {"policy": " ".join(material.policy)}
    return _on_nodes(course, APP, config, course.into_the_forge)


def _fedavg(course: Course) -> Any:
    rounds = course.material.rounds

    def followed(pid: int) -> Any:
        return course.follow(pid, lambda: course.round() >= 1, lambda: course.round() >= rounds)

    return _on_nodes(course, FEDAVG, course.material.config(course.out) | {"rounds": rounds}, followed)


def _on_nodes(course: Course, app: Path, config: dict[str, object], follow: Callable[[int], Any]) -> Any:
    course.out.mkdir(parents=True)
    with superlink(course.out) as (flower, port):
        start_nodes(flower, course.material, course.out, port)
        course.began = time.monotonic()
        _start(flower, app, config)
        return follow(flower.pid(course.victim))


def _start(flower: Engine, app: Path, config: dict[str, object]) -> None:
    flower.start("run", "flwr", "run", app, "here", "--stream", "-c", write_config(flower, config))


RUNS: dict[str, Callable[[Course], Any]] = {"grpc": _own_door, "deployment": _deployment, "fedavg": _fedavg}
