"""Reviews over mutual TLS, with the real commands: what harms a site is held, what does not goes live."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.maintenance import accept
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from tests.aggregator.serving import serving, wait_until_folded
from tests.client.test_cli import options, run

GREY = ((90, 90, 90), (165, 165, 165))
COLOURED = ((200, 60, 60), (60, 60, 200))


def images(root: Path, names: tuple[str, str], colours: tuple[tuple[int, int, int], ...], seed: int) -> Path:
    """Write 240 images to train on, noise around one of two colours."""
    random = np.random.default_rng(seed)
    for index in range(248):
        label = index % 2
        pixels = np.asarray(colours[label]) + 40 * random.standard_normal((32, 32, 3))
        path = root / ("train" if index < 240 else "test") / names[label] / f"{seed}-{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def centres(tmp_path_factory: pytest.TempPathFactory, tiny_spec: str) -> dict[str, Path]:
    """The workspaces of a victim, of an honest centre, and of an attacker with images like the victim's."""
    place = tmp_path_factory.mktemp("centres")
    made = {
        "victim": images(place / "shades", ("dark_tissue", "bright_tissue"), GREY, 1),
        "honest": images(place / "stains", ("red_stain", "blue_stain"), COLOURED, 2),
        "attacker": images(place / "glass", ("alpha_glass", "omega_glass"), GREY, 3),
    }
    for name, root in made.items():
        run("contribute", f"folder:{root}", "--workspace", place / name, "--no-push", "--base", tiny_spec,
            "--threads", 1, "--contributor", name, *options())  # fmt: skip
    return {name: place / name for name in made}


@pytest.fixture
def forge(tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Forge, str]]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serving(tmp_path / "forge", tiny_base, settings=choose_settings(), tls=True) as both:
        yield both


def said(*arguments: object) -> str:
    """What a command prints, as one line."""
    return " ".join(run(*arguments).split())


class Cohort:
    """A served forge and its invited centres, who speak to it by the commands."""

    def __init__(self, served: Forge, at: str, workspaces: dict[str, Path], kits: Path) -> None:
        self.forge = served
        self.workspaces = workspaces
        self.kits = {name: invite(served, name, at, kits / name).directory for name in workspaces}

    def push(self, name: str) -> str:
        """Push a centre's branch, and return the commit that it is folded into."""
        before = self.forge.ledger.counts()[1]
        run("push", "--workspace", self.workspaces[name], "--kit", self.kits[name])
        wait_until_folded(self.forge, before + 1)
        return self.head

    def review(self, name: str, *more: object) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(
            run("review", "--workspace", self.workspaces[name], "--kit", self.kits[name], "--threads", 1, "--json",
                *more)
        )  # fmt: skip
        return answer

    @property
    def head(self) -> str:
        head = self.forge.ledger.head()
        assert head is not None
        return head.digest

    def stable(self, wanted: str | None = None) -> str | None:
        """The stable commit; one that is wanted is waited for."""
        end = time.monotonic() + 20
        while True:
            found = ReviewTable(self.forge.ledger).stable()
            if wanted is None or (found and found.digest == wanted) or time.monotonic() > end:
                return found.digest if found else None
            time.sleep(0.05)

    def wait_held(self, arrival: int) -> str:
        end = time.monotonic() + 20
        while True:
            entry = self.forge.ledger.arrival(arrival)
            assert entry is not None
            if entry.state is State.HELD:
                return entry.reason
            assert time.monotonic() < end, f"arrival {arrival} is {entry.state.value}"
            time.sleep(0.05)

    def checked_out(self, name: str, out: Path, *more: object) -> str:
        """Which commit a centre gets."""
        return str(json.loads(run("checkout", "--kit", self.kits[name], "--out", out, "--json", *more))["commit"])


@pytest.fixture
def cohort(forge: tuple[Forge, str], centres: dict[str, Path], tmp_path: Path) -> Cohort:
    for place in centres.values():
        (place / "reviews.json").unlink(missing_ok=True)
        (place / "receipt.json").unlink(missing_ok=True)
    return Cohort(*forge, centres, tmp_path / "kits")


def test_what_takes_a_sites_images_away_is_held_and_what_does_not_goes_live(cohort: Cohort, tmp_path: Path) -> None:
    first = cohort.push("victim")
    assert cohort.checked_out("victim", tmp_path / "a") == first
    assert "nobody reviews it, so the newest commit is the stable one" in said("log", "--kit", cohort.kits["honest"])
    begun = cohort.review("victim")
    assert (begun["commit"], begun["sent"], begun["review"]["tasks"]["shades"]["baseline"]) == (first, True, None)
    assert begun["review"]["tasks"]["shades"]["alone"]
    # that some are of none of the tasks is no other task's doing
    assert begun["review"]["tasks"]["shades"]["routed"] == {"shades": 36 - begun["review"]["tasks"]["shades"]["taken"]}
    assert cohort.stable(first) == first

    second = cohort.push("honest")
    assert cohort.stable() == first
    assert cohort.checked_out("honest", tmp_path / "b") == first
    assert cohort.checked_out("honest", tmp_path / "c", "--commit", "head") == second
    assert "waits for reviews" in said("status", "--kit", cohort.kits["honest"])
    seen = cohort.review("victim")["review"]["tasks"]["shades"]
    assert (seen["images"], seen["lost"], seen["taken"], seen["baseline"]) == (36, 0, 0, first)
    assert cohort.stable(second) == second

    third = cohort.push("attacker")
    tried = cohort.review("victim", "--dry-run")
    assert not tried["sent"]
    assert len(ReviewTable(cohort.forge.ledger).read().reviews) == 2
    harm = cohort.review("victim")["review"]["tasks"]["shades"]
    assert harm["taken"] >= 12
    reason = cohort.wait_held(3)
    assert f"of 36 validation images of task 'shades' at victim, {harm['taken']} went to the task" in reason
    wait_until_folded(cohort.forge, 4)
    assert cohort.stable(cohort.head) == cohort.head
    live = {kept.decision.commit for kept in ReviewTable(cohort.forge.ledger).read().decisions
            if kept.decision.standing == "live"}  # fmt: skip
    assert third not in live
    shown = said("show", third, "--kit", cohort.kits["honest"])
    assert "reviews: found harmful" in shown
    assert "is held: reviews say that it does harm" in said("status", "--kit", cohort.kits["attacker"])


def test_a_maintainer_overrules_a_lone_objection_and_from_then_on_it_warns(cohort: Cohort) -> None:
    cohort.push("victim")
    cohort.review("victim")
    cohort.push("attacker")
    cohort.review("victim")
    cohort.wait_held(2)
    wait_until_folded(cohort.forge, 3)
    accept(cohort.forge, "2")
    wait_until_folded(cohort.forge, 4)
    assert cohort.stable(cohort.head) == cohort.head
    arrival = cohort.forge.ledger.arrival(2)
    assert arrival is not None
    assert arrival.state is State.FOLDED


def test_every_reviewed_task_is_waited_for_and_a_site_begins_with_what_is_stable(cohort: Cohort) -> None:
    cohort.push("victim")
    cohort.review("victim")
    second = cohort.push("honest")
    cohort.review("victim")
    assert cohort.stable(second) == second
    joined = cohort.review("honest")
    assert (joined["commit"], joined["review"]["tasks"]["stains"]["baseline"]) == (second, None)
    third = cohort.push("attacker")
    asked = cohort.review("honest")
    assert (asked["commit"], asked["sent"]) == (third, True)
    assert cohort.stable() == second
    done = cohort.review("honest")
    assert (done["commit"], done["sent"]) == (third, False)
    cohort.review("victim")
    cohort.wait_held(3)


def test_who_came_before_its_victim_is_held_beside_it(cohort: Cohort) -> None:
    """A squat: nothing that went live answers the victim's task without the attacker's branch."""
    cohort.push("attacker")
    cohort.push("victim")
    seen = cohort.review("victim")["review"]["tasks"]["shades"]
    assert seen["alone"]
    assert seen["taken"] >= seen["routed"]["glass"] >= 12
    reason = cohort.wait_held(1)
    assert "arrivals 1, 2 contradict each other on real images: of 36 validation images of task 'shades'" in reason
    assert cohort.wait_held(2) == reason
    accept(cohort.forge, "2")
    end = time.monotonic() + 20
    while (arrival := cohort.forge.ledger.arrival(2)) and arrival.state is not State.FOLDED and time.monotonic() < end:
        time.sleep(0.05)
    assert arrival is not None
    assert arrival.state is State.FOLDED
    assert cohort.stable(cohort.head) == cohort.head
