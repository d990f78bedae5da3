"""The maintainer's and the contributor's commands, typed, on a forge that is being served."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.records import State
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.cli.failures import USER_MISTAKE
from medforge.errors import MedForgeError
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge
from tests.aggregator.forges import branches
from tests.aggregator.serving import Served, upload


def typed(*words: object, code: int = 0) -> str:
    """Run `medforge WORDS` in this process; gives what it said."""
    result = CliRunner().invoke(build_app(), [str(word) for word in words])
    if isinstance(result.exception, MedForgeError):
        assert code == USER_MISTAKE, result.exception
        return str(result.exception)
    assert result.exit_code == code, result.output
    return result.output if code else result.stdout


def wait(until: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule, tiny_spec: str
) -> Iterator[tuple[Path, str]]:
    """A served forge with three folded branches."""
    directory = tmp_path_factory.mktemp("maintained")
    process = Served(directory / "forge", tiny_spec)
    try:
        at = process.wait_ready()
        with RemoteForge(Connection(at)) as remote:
            for number, branch in enumerate(branches(tiny_base), start=1):
                upload(remote, branch, directory / str(number))
                remote.submit(branch.manifest.to_bytes())
        forge = Forge.open(directory / "forge")
        wait(lambda: len(forge.ledger.arrivals(State.FOLDED)) == 3)
        forge.close()
        yield directory / "forge", at
    finally:
        process.stop()


def members(directory: Path) -> tuple[int, ...]:
    forge = Forge.open(directory)
    try:
        head = forge.ledger.head()
        return head.members if head else ()
    finally:
        forge.close()


def test_a_served_forge_follows_what_is_decided(served: tuple[Path, str], tiny_base: BaseModule) -> None:
    directory, at = served
    assert "arrival 2 (centre 1: task 1) is rejected" in typed(
        "reject", "2", "--forge", directory, "--reason", "blurred images"
    )
    wait(lambda: members(directory) == (1, 3))
    log = json.loads(typed("log", "--at", at, "--json"))
    assert [(o["number"], o["state"], o["reason"]) for o in log["outside"]] == [(2, "rejected", "blurred images")]
    assert log["commits"][-1]["kind"] == "remove"
    assert "removed, mean of 2 tasks" in typed("log", "--at", at)
    assert json.loads(typed("accept", "task 1", "--forge", directory, "--json"))["number"] == 2
    wait(lambda: members(directory) == (1, 3, 2))
    assert "arrival 2 (centre 1: task 1) leaves" in typed(
        "revert", log["commits"][1]["digest"][:12], "--forge", directory
    )
    wait(lambda: members(directory) == (1, 3))
    third = branches(tiny_base)[2].digest
    refused = typed("withdraw", third, "--at", at, "--erase", code=USER_MISTAKE)
    assert "erasing a branch cannot be undone; give --yes" in refused
    assert "is withdrawn and will be erased" in typed("withdraw", third[:8], "--at", at, "--erase", "--yes")
    wait(lambda: members(directory) == (1,))
    # files are deleted once the main branch is made without them
    wait(lambda: "forge: erased" in typed("log", "--forge", directory, "--journal"))
    said = typed("log", "--forge", directory, "--journal")
    for event in ("maintainer: rejected", "maintainer: accepted", "centre 2: withdrawn", "forge: erased"):
        assert event in said
    told = json.loads(typed("log", "--forge", directory, "--journal", "--json"))["journal"]
    assert [e["what"] for e in told if e["actor"] == "maintainer"] == ["rejected", "accepted", "rejected"]
    assert told[-1]["about"]["arrival"] == 3
    assert "nothing is held" in typed("log", "--at", at, "--held")
    assert "(erased)" in typed("log", "--forge", directory)
    assert "BAD" not in typed("fsck", "--forge", directory)
    rebuilt = json.loads(typed("replay", "--forge", directory, "--json"))
    assert {row["outcome"] for row in rebuilt["commits"]} == {"identical", "erased"}


def test_mistakes_get_one_sentence(served: tuple[Path, str], tmp_path: Path) -> None:
    directory, at = served
    assert "no arrival is called '77'" in typed("accept", "77", "--forge", directory, code=USER_MISTAKE)
    assert "no forge is named, or two; give either its directory" in typed("withdraw", "1", code=USER_MISTAKE)
    assert "no arrival is called 'skin'" in typed("withdraw", "skin", "--at", at, code=USER_MISTAKE)
    assert "no commit is called '77'" in typed("revert", "77", "--forge", directory, code=USER_MISTAKE)
    assert "has not arrived at this forge" in typed("withdraw", "0" * 64, "--at", at, code=USER_MISTAKE)
    assert "is not a forge" in typed("fsck", "--forge", tmp_path, code=USER_MISTAKE)
    assert "give its directory with --forge" in typed("log", "--at", at, "--journal", code=USER_MISTAKE)


def test_damage_ends_fsck_with_an_exit_code(served: tuple[Path, str], tmp_path: Path) -> None:
    directory, _ = served
    broken = tmp_path / "forge"
    shutil.copytree(directory, broken)
    forge = Forge.open(broken)
    head = forge.ledger.head()
    assert head is not None
    path = forge.blobs.path(next(d for p, d in head.item_files.items() if p.endswith("adapter_model.safetensors")))
    forge.close()
    path.write_bytes(b"nothing of the kind")
    assert f"blob {path.name} has been altered where it is kept" in typed("fsck", "--forge", broken, code=1)
