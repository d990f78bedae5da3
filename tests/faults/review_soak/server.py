"""The server of a soak with reviews: killed again and again, and looked after each time."""

import signal
import time

from medforge.aggregator.ledger.review_table import ReviewTable
from tests.faults.database import up_again
from tests.faults.review_soak.checks import check_acknowledged
from tests.faults.review_soak.stage import HARM, Stage

KILLS = ("starting", "before review", "after review", "before decision", "between decision and hold",
         "between blob and ledger", "between ledger and receipt", "during fold",
         "between forge item and commit", "after commit")  # fmt: skip
LIFE_SECONDS = 4.0


def keep_server(stage: Stage) -> None:
    """Return the server one life after another, and look after each death whether all that it said is there."""
    draw, server, tally = stage.crew.random("server"), stage.server, stage.tally
    while not stage.crew.over:
        program = server.program
        assert program is not None
        if program.alive:
            time.sleep(draw.uniform(0.2, 2))
            program.signal(signal.SIGKILL)
            assert program.wait() == -signal.SIGKILL
            tally.fault("server", "killed at any moment")
        _look(stage)
        point = draw.choice(KILLS)
        program, _ = up_again(server, f"{point}:{1 if point == 'starting' else draw.randint(1, 2)}")
        end = time.monotonic() + LIFE_SECONDS
        while program.alive and time.monotonic() < end:
            time.sleep(0.02)
        if not program.alive:
            assert program.exit_code == -signal.SIGKILL, program.said()
            assert program.faults(), program.said()
            tally.fault("server", f"killed {point}")
    # the last life has no fault, neither behind it nor before it
    if server.program is not None and server.program.alive:
        server.program.kill()
        tally.fault("server", "killed at any moment")
    up_again(server)


def _look(stage: Stage) -> None:
    said = stage.said.copy()
    with stage.opened() as forge:
        check_acknowledged(forge, said)
        decisions = ReviewTable(forge.ledger).read().decisions
        stage.tally.numbers[HARM] = sum(one.decision.standing == "harmful" for one in decisions)
