"""Who pushes to a forge in a soak with reviews: honest sites, attackers who withdraw, and one who is always refused."""

import time

from medforge.client.push import push
from medforge.errors import ForgeUnavailable, MedForgeError
from tests.faults.review_soak.stage import ATTACKERS, NOISE, PATIENT, Stage
from tests.making import make_branch

# arrivals that may wait to be folded before whoever pushes waits for them
BACKLOG = 4


def contribute(stage: Stage, name: str, least: float, most: float) -> None:
    """Push one version after another, `least` to `most` seconds apart; who attacks takes some of them back."""
    draw = stage.crew.random("contribute", name)
    while not stage.crew.over:
        stage.crew.rest(draw.uniform(least, most))
        while _backlog(stage) > BACKLOG and not stage.crew.over:
            stage.crew.rest(1)
        branch = stage.push(name)
        if name in ATTACKERS and draw.random() < 0.3:
            stage.crew.rest(draw.uniform(0, least))
            _withdraw(stage, name, branch)


def disturb(stage: Stage) -> None:
    """Submit what is refused, again and again."""
    number = 0
    while not stage.crew.over:
        number += 1
        branch = make_branch(stage.base, number, task="noise", contributor=NOISE, size=50)
        place = stage.directory / "branches" / f"{NOISE}-{number}"
        branch.save(place)
        try:
            push(place, stage.connection(NOISE), place.with_suffix(".receipt"), patience=PATIENT)
        except ForgeUnavailable:
            continue
        except MedForgeError:
            stage.tally.add("refused submits")
        else:
            raise AssertionError("a branch out of all measure was taken")
        stage.crew.rest(1)


def _backlog(stage: Stage) -> int:
    with stage.opened() as forge:
        return len(forge.ledger.unfolded(limit=BACKLOG + 1))


def _withdraw(stage: Stage, name: str, branch: str) -> None:
    while not stage.crew.failed:
        try:
            with stage.remote(name) as remote:
                remote.withdraw(branch, erase=False)
            break
        except ForgeUnavailable:
            time.sleep(0.2)
    with stage.said.lock:
        stage.said.withdrawn.append(branch)
