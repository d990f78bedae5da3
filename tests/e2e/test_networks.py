"""Networks as they are, in real processes: large packets lost, loss and delay, a slow line, a cable that is pulled."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.proto.receipt import Receipt
from tests.e2e.cable import Cable, Weather, cable
from tests.e2e.networks import Network
from tests.e2e.test_invitation import ENVIRONMENT, Server, medforge
from tests.making import make_distilled, make_plugin

SECONDS = 150


@dataclass(frozen=True)
class Site:
    """A hospital with a kit, and the cable to its forge."""

    network: Network
    cable: Cable
    kit: Path
    base: BaseModule

    def doctor(self, weather: Weather) -> dict[str, dict[str, str]]:
        self.cable.weather = weather
        process = self.run("medforge", "doctor", "--kit", self.kit, "--json")
        said, complained = process.communicate(timeout=SECONDS)
        assert said, complained
        return {one["check"]: one for one in json.loads(said)}

    def push(self, weather: Weather, place: Path, ipc: int) -> "subprocess.Popen[str]":
        """Begin to push a branch with so many images a class, 12 kB each."""
        self.cable.weather = weather
        Branch.build(
            make_plugin(self.base),
            make_distilled(self.base, ipc=ipc),
            contributor="Centre A",
            task=f"task {ipc}",
            base=self.base,
            training_images=10,
            recipe="test",
            seed=0,
            validation={},
        ).save(place / "branch")
        return self.run("tests.e2e.pushing", place / "branch", self.kit)

    def run(self, *module: object) -> "subprocess.Popen[str]":
        command = [*self.network.on_site, sys.executable, "-m", *map(str, module)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT | {"OMP_NUM_THREADS": "1"},
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule, tiny_spec: str) -> Iterator[Site]:
    place = tmp_path_factory.mktemp("far")
    with cable() as (network, carrying):
        server = Server(place / "forge", tiny_spec, network)
        try:
            medforge(
                "invite", "Centre A", "--forge", place / "forge", "--address", network.address, "--out", place / "kit",
                on=network.on_forge,
            )  # fmt: skip
            yield Site(network, carrying, place / "kit", tiny_base)
        finally:
            carrying.weather = Weather()
            server.stop()


def receipt_of(process: "subprocess.Popen[str]") -> Receipt:
    said, complained = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, complained
    receipt = Receipt.model_validate_json(said)
    receipt.verify()
    return receipt


def test_in_good_weather_everything_is_well(site: Site) -> None:
    found = site.doctor(Weather())
    assert {one["state"] for one in found.values()} <= {"ok", "skipped"}
    assert found["packets"]["what"] == "full-size packets pass in both directions (4 KiB)"


@pytest.mark.parametrize("weather", [Weather(to_forge=1400), Weather(to_site=1400)])
def test_large_packets_that_vanish_are_named(site: Site, weather: Weather) -> None:
    found = site.doctor(weather)
    assert found["TCP"]["state"] == "ok"
    assert found["packets"]["state"] == "problem"
    assert "passes in packets of 536 bytes and gets lost in larger ones (MTU)" in found["packets"]["what"]
    assert "mtu 1280" in found["packets"]["fix"]


def test_a_cable_that_carries_hardly_anything_is_no_matter_of_size(site: Site) -> None:
    assert site.doctor(Weather(to_forge=100, to_site=100))["packets"]["state"] == "skipped"


def test_a_push_that_large_packets_do_not_leave_says_where_to_look(site: Site, tmp_path: Path) -> None:
    process = site.push(Weather(to_forge=1400), tmp_path, 2)
    try:
        line = process.stderr.readline() if process.stderr else ""
        assert "`medforge doctor` looks at every step of the way, and whether large packets get lost (MTU)" in line
        site.cable.weather = Weather()
        assert receipt_of(process).arrival >= 1
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "weather", [Weather(loss=0.02, seconds=0.1), Weather(bits=256_000, seconds=0.03)], ids=["loss", "slow"]
)
def test_a_branch_comes_in_over_a_bad_line(site: Site, tmp_path: Path, weather: Weather) -> None:
    receipt = receipt_of(site.push(weather, tmp_path, 20 if weather.loss else 21))
    assert receipt.arrival >= 1


def test_a_cable_that_is_pulled_and_put_back(site: Site, tmp_path: Path) -> None:
    process = site.push(Weather(bits=2_000_000), tmp_path, 160)
    try:
        time.sleep(4)
        assert process.poll() is None
        site.cable.weather = Weather(loss=1.0)
        time.sleep(5)
        assert process.poll() is None
        site.cable.weather = Weather()
        receipt_of(process)
    finally:
        process.kill()
        process.communicate()
