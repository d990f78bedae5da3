"""The connection breaks in every way between an intact centre and an intact forge."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.push import Patience, push
from medforge.manifest import MANIFEST_FILE
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge
from tests.faults.checks import check_all_folded, establish, undisturbed, wait_folded
from tests.faults.proxy import Proxy, Trouble
from tests.making import make_branch
from tests.programs import Server

SILENCE = 1.5
IMPATIENT = Patience(minutes=2, silence=SILENCE, first_pause=0.05, longest_pause=0.2)


def troubles(size: int) -> list[Trouble]:
    """Every kind of trouble, where an undisturbed push sends `size` bytes."""
    half = [Trouble(kind, size // 2) for kind in ("reset", "close", "stall", "cut", "delay")]
    begin = [Trouble("reset"), Trouble("stall"), Trouble("close", upwards=False)]
    # the manifest that Submit brings is what comes last, and has more bytes than these
    submit = [Trouble("reset", size - 500), Trouble("cut", size - 500)]
    # the forge holds the branch, and the centre does not know
    receipt = [Trouble(kind, size - 500, upwards=False) for kind in ("reset", "close", "cut", "stall")]
    return [*half, *begin, *submit, *receipt]


def test_no_trouble_loses_doubles_or_alters_a_branch(tmp_path: Path, server: Server, tiny_base: BaseModule) -> None:
    server.up()
    branches = [
        make_branch(tiny_base, seed, contributor="centre", task=f"task {seed:02}", ipc=12) for seed in range(16)
    ]
    receipts, waits = [], 0
    with Proxy(server.at) as proxy:

        def bring(number: int) -> None:
            branches[number].save(tmp_path / str(number))
            heard: list[str] = []
            receipt = push(
                tmp_path / str(number),
                Connection(proxy.at),
                tmp_path / f"{number}.json",
                patience=IMPATIENT,
                on_wait=heard.append,
            )
            receipts.append(receipt)
            nonlocal waits
            waits = len(heard)

        # the first push of all sends some hundred bytes more
        bring(0)
        first = proxy.up
        bring(1)
        for number, trouble in enumerate(troubles(proxy.up - first), start=2):
            proxy.troubles.append(trouble)
            begun = time.monotonic()
            bring(number)
            took = time.monotonic() - begun
            assert proxy.happened.pop() == trouble
            # A delay slows a push, and is no reason to begin again. What breaks at the beginning gRPC mends by itself.
            # Silence is noticed, whatever call it falls into.
            least = 0 if trouble.kind == "delay" or trouble.after == 0 else 1
            most = 0 if trouble.kind == "delay" else 3
            assert least <= waits <= most, trouble
            assert took < 10 + SILENCE + 5, trouble
    assert [receipt.arrival for receipt in receipts] == list(range(1, 17))
    wait_folded(server.at, 16)
    server.stop()
    check_all_folded(server.directory, receipts, undisturbed(tmp_path / "undisturbed", tiny_base, branches))


def test_an_upload_goes_on_where_each_connection_broke(tmp_path: Path, server: Server, three: list[Branch]) -> None:
    three[0].save(tmp_path / "branch")
    size = sum(entry.size for entry in three[0].manifest.files.values())
    server.up()
    with Proxy(server.at, [Trouble("reset", 300_000)] * 8) as proxy:
        receipt = push(tmp_path / "branch", Connection(proxy.at), tmp_path / "receipt.json", patience=IMPATIENT)
        # a chunk (256 KiB) may be under way each time; begun anew each time, it would never have come through
        assert len(proxy.happened) >= 2
        assert proxy.up < size + len(proxy.happened) * (300 << 10)
    assert receipt.arrival == 1


def test_everything_said_twice_is_heard_once(
    tmp_path: Path, server: Server, folders: Sequence[Path], three: list[Branch], chain: list[str]
) -> None:
    """Two pushes of each branch at once, and every Submit again and again, while others arrive."""
    server.up()
    receipts = []

    def again(folder: Path) -> None:
        with RemoteForge(Connection(server.at)) as remote:
            receipts.append(remote.submit((folder / MANIFEST_FILE).read_bytes()))

    with ThreadPoolExecutor(8) as pool:
        for folder in folders:
            pair = [
                pool.submit(
                    push, folder, Connection(server.at), tmp_path / f"{folder.name}-{n}.json", patience=IMPATIENT
                )
                for n in range(2)
            ]
            receipts += [pushed.result(100) for pushed in pair]
            list(pool.map(again, [f for f in folders[: int(folder.name)] for _ in range(3)]))
    assert {receipt.branch for receipt in receipts} == {branch.digest for branch in three}
    assert len(set(receipts)) == 3
    wait_folded(server.at, 3)
    server.stop()
    check_all_folded(server.directory, receipts, chain)


def test_a_recorded_connection_played_again_changes_nothing(
    tmp_path: Path, server: Server, tiny_base: BaseModule, tiny_spec: str
) -> None:
    branch = make_branch(tiny_base)
    branch.save(tmp_path / "branch")
    server.up()
    establish(tmp_path / "other", tiny_base)
    with Server(tmp_path / "other", tiny_spec) as other, Proxy(server.at, [Trouble("replay")]) as proxy:
        other.up()
        # the recording is whole: a forge that has not seen the branch takes it, unsigned as it is, from it alone
        proxy.replay_to = [server.at, other.at]
        receipt = push(tmp_path / "branch", Connection(proxy.at), tmp_path / "receipt.json", patience=IMPATIENT)
        wait_folded(other.at, 1)
        wait_folded(server.at, 1)
        assert proxy.happened
        with RemoteForge(Connection(server.at)) as remote:
            assert (remote.describe().arrivals, remote.describe().commits) == (1, 1)
    server.stop()
    check_all_folded(server.directory, [receipt], undisturbed(tmp_path / "undisturbed", tiny_base, [branch]))
