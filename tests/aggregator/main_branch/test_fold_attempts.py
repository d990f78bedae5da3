"""A fold that kills the process, as the system does for lack of memory: tried a few times, then held."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.records import State
from medforge.aggregator.main_branch.fold_attempts import ATTEMPTS_FILE, MOST, FoldAttempts
from medforge.aggregator.main_branch.fold_worker import FoldWorker, Told
from medforge.aggregator.main_branch.wakeup import Wakeup
from medforge.base_module import BaseModule
from tests.aggregator.forges import UNEXAMINED, branches
from tests.aggregator.serving import FAST


def fold_until_killed(directory: Path, deadly: int) -> None:
    """Fold as a server does, until nothing waits; the fold of one arrival has the process killed."""
    forge = Forge.open(directory)

    def fold(number: int) -> None:
        if number == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        forge.ledger.hold(number, "what another fold came to")

    arrived = Wakeup()
    attempts = FoldAttempts(directory / ATTEMPTS_FILE)
    worker = FoldWorker(forge.ledger, fold, list, arrived, Wakeup(), attempts, Told(lambda: None))
    worker.start()
    while forge.ledger.unfolded(limit=1):
        worker.join(0.02)
    worker.stop()
    worker.join(30)
    forge.close()


def run_until(directory: Path, starts: int) -> list[int]:
    """Start processes that fold, one after another, each forked from one that has imported all; how each ended."""
    program = f"""
import os
from pathlib import Path
from tests.aggregator.main_branch.test_fold_attempts import fold_until_killed
for _ in range({starts}):
    child = os.fork()
    if child == 0:
        fold_until_killed(Path({str(directory)!r}), deadly=2)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return [int(line) for line in done.stdout.split()]


def test_what_kills_the_process_again_and_again_is_held_and_others_are_folded(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    with_three = Forge.establish(tmp_path, tiny_base, FAST, policy=UNEXAMINED)
    for branch in branches(tiny_base):
        with_three.admit(branch, tiny_base)
    with_three.close()
    assert run_until(tmp_path, MOST + 1) == [-signal.SIGKILL] * MOST + [0]
    forge = Forge.open(tmp_path)
    held = forge.ledger.holds()
    assert f"ended {MOST} times while it folded the branch, which says nothing about the branch" in held[2].reason
    assert held[1].reason == held[3].reason == "what another fold came to"
    # whom the maintainer accepts has as many tries again
    forge.ledger.release(2)
    forge.close()
    assert run_until(tmp_path, MOST - 1) == [-signal.SIGKILL] * (MOST - 1)
    forge = Forge.open(tmp_path)
    assert [one.number for one in forge.ledger.arrivals(State.RECEIVED)] == [2]
    forge.close()


@pytest.mark.parametrize("written", [b"", b"{", b"[1]", b'{"arrival": 1}', b'{"arrival": 1, "attempts": null}'])
def test_a_damaged_count_begins_anew(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / ATTEMPTS_FILE
    path.write_bytes(written)
    attempts = FoldAttempts(path)
    assert [attempts.begin(1), attempts.begin(1), attempts.begin(2), attempts.begin(1)] == [0, 1, 0, 0]
    attempts.end()
    attempts.end()
    assert attempts.begin(1) == 0
