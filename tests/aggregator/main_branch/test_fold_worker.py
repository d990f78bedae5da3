import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.main_branch.fold_attempts import ATTEMPTS_FILE, FoldAttempts
from medforge.aggregator.main_branch.fold_worker import FoldWorker, Told
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.transient import PARKED
from medforge.aggregator.main_branch.wakeup import Wakeup
from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from tests.aggregator.forges import UNEXAMINED, branches
from tests.aggregator.serving import FAST, wait_until_folded

Before = Callable[[int], None]


@pytest.fixture
def forge(tmp_path: Path, tiny_base: BaseModule) -> Iterator[Forge]:
    opened = Forge.establish(tmp_path, tiny_base, FAST, policy=UNEXAMINED)
    yield opened
    opened.close()


def attempts_of(forge: Forge) -> FoldAttempts:
    return FoldAttempts(forge.directory / ATTEMPTS_FILE)


class Working:
    """A fold worker on a real forge; `before` runs ahead of every fold, and may raise."""

    def __init__(self, forge: Forge, base: BaseModule, before: Before = lambda number: None) -> None:
        main = MainBranch(forge, base)
        self.folded: list[int] = []
        self.faults: list[str] = []
        self.arrived, self.committed, self.ended = Wakeup(), Wakeup(), threading.Event()

        def fold(number: int) -> None:
            before(number)
            main.fold(number)
            self.folded.append(number)

        self.worker = FoldWorker(
            forge.ledger,
            fold,
            main.settle,
            self.arrived,
            self.committed,
            attempts_of(forge),
            Told(self.ended.set, fault=self.faults.append),
            first_pause=0.01,
        )

    def __enter__(self) -> "Working":
        self.worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.stop()
        self.worker.join(30)
        assert not self.worker.is_alive()


def test_it_folds_what_waited_and_what_comes_in_order(forge: Forge, tiny_base: BaseModule) -> None:
    first, second, third = branches(tiny_base)
    forge.admit(first, tiny_base)
    with Working(forge, tiny_base) as working:
        for branch in (second, third):
            forge.admit(branch, tiny_base)
            working.arrived.notify()
        wait_until_folded(forge, 3)
    assert working.folded == [1, 2, 3]
    assert [c.branch for _, c in forge.ledger.commits()] == [first.digest, second.digest, third.digest]
    assert working.ended.is_set()


def test_a_fold_that_raises_is_held_with_its_reason_and_the_next_goes_on(
    forge: Forge, tiny_base: BaseModule, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse_second(number: int) -> None:
        if number == 2:
            raise InvalidBranch("its plugin overflows; train it again with a lower rate")

    for branch in branches(tiny_base):
        forge.admit(branch, tiny_base)
    with Working(forge, tiny_base, refuse_second) as working:
        wait_until_folded(forge, 2)
    assert working.folded == [1, 3]
    assert {n: h.reason for n, h in forge.ledger.holds().items()} == {
        2: "its plugin overflows; train it again with a lower rate"
    }
    assert forge.load_branch(2).digest == branches(tiny_base)[1].digest
    (held,) = (record for record in caplog.records if "is held" in record.getMessage())
    assert (held.levelname, held.exc_info) == ("WARNING", None)  # a contributor's mistake has no traceback


def test_a_bug_in_a_fold_is_the_forges_fault(
    forge: Forge, tiny_base: BaseModule, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again, then parked without a word against the branch; others go on, and a new process tries anew."""

    def fail(number: int) -> None:
        if number == 1:
            raise ZeroDivisionError("division by zero")

    for branch in branches(tiny_base)[:2]:
        forge.admit(branch, tiny_base)
    with Working(forge, tiny_base, fail) as working:
        wait_until_folded(forge, 1)
    assert working.folded == [2]
    assert forge.ledger.holds()[1].reason == PARKED
    assert not any(word in PARKED for word in ("Zero", "fail", "wrong"))
    alarms = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [alarm.getMessage().partition(",")[0] for alarm in alarms[:2]] == ["arrival 1 cannot be folded"] * 2
    assert "is parked: this forge could not fold it" in alarms[2].getMessage()
    assert all(alarm.exc_info is not None for alarm in alarms)
    with Working(forge, tiny_base) as mended:
        wait_until_folded(forge, 2)
    assert mended.folded == [1]


def test_a_bug_that_passes_holds_nobody(forge: Forge, tiny_base: BaseModule) -> None:
    tries: list[int] = []

    def fail_twice(number: int) -> None:
        tries.append(number)
        if len(tries) < 3:
            raise OverflowError("int too large to convert to float")

    for branch in branches(tiny_base)[:2]:
        forge.admit(branch, tiny_base)
    with Working(forge, tiny_base, fail_twice) as working:
        wait_until_folded(forge, 2)
    assert tries == [1, 1, 1, 2]
    assert working.folded == [1, 2]
    assert forge.ledger.holds() == {}


@pytest.mark.parametrize("shortage", [OSError(errno.ENOSPC, "No space left on device"), MemoryError()])
def test_a_shortage_is_waited_out_and_nothing_overtakes(
    forge: Forge, tiny_base: BaseModule, shortage: Exception
) -> None:
    left = 3

    def lack(number: int) -> None:
        nonlocal left
        if number == 1 and left:
            left -= 1
            raise shortage

    for branch in branches(tiny_base, 2):
        forge.admit(branch, tiny_base)
    with Working(forge, tiny_base, lack) as working:
        wait_until_folded(forge, 2)
    assert working.folded == [1, 2]
    assert left == 0
    assert forge.ledger.holds() == {}


def test_a_fold_that_commits_nothing_is_held(forge: Forge, tiny_base: BaseModule) -> None:
    forge.admit(branches(tiny_base)[0], tiny_base)
    worker = FoldWorker(
        forge.ledger, lambda number: None, list, Wakeup(), Wakeup(), attempts_of(forge), Told(lambda: None)
    )
    worker.start()
    _wait(lambda: bool(forge.ledger.holds()))
    worker.stop()
    worker.join(30)
    assert forge.ledger.holds()[1].reason == "its fold ended without a commit; accept it to fold it again"


def test_what_fails_after_the_commit_does_not_undo_it(forge: Forge, tiny_base: BaseModule) -> None:
    main = MainBranch(forge, tiny_base)

    def fold_then_fail(number: int) -> None:
        main.fold(number)
        raise ValueError("too late")

    forge.admit(branches(tiny_base)[0], tiny_base)
    committed = Wakeup()
    worker = FoldWorker(forge.ledger, fold_then_fail, list, Wakeup(), committed, attempts_of(forge), Told(lambda: None))
    worker.start()
    _wait(lambda: committed.count > 0)
    worker.stop()
    worker.join(30)
    assert forge.ledger.holds() == {}
    assert forge.ledger.counts() == (1, 1)


def test_a_released_arrival_is_folded(forge: Forge, tiny_base: BaseModule) -> None:
    forge.admit(branches(tiny_base)[0], tiny_base)
    forge.ledger.hold(1, "a bug that has been mended")
    with Working(forge, tiny_base) as working:
        forge.ledger.release(1)
        working.arrived.notify()
        wait_until_folded(forge, 1)


def test_only_what_is_the_forges_own_fault_raises_the_alarm(forge: Forge, tiny_base: BaseModule) -> None:
    def fail(number: int) -> None:
        if number == 1:
            raise ZeroDivisionError("nobody expected it")
        if number == 2:
            raise InvalidBranch("it cannot be merged; train it anew")

    for branch in branches(tiny_base):
        forge.admit(branch, tiny_base)
    with Working(forge, tiny_base, fail) as working:
        wait_until_folded(forge, 1)
    assert working.faults == ["fold"] * 3
    assert forge.ledger.holds().keys() == {1, 2}


def _wait(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("it did not happen in time")
