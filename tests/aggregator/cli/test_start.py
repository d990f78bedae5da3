"""What a maintainer's commands cost before they do anything."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from click.testing import CliRunner

from medforge.aggregator.upgrade.upgrading import upgrade
from medforge.base import load_base
from medforge.cli import build_app
from tests.aggregator.serving import serving
from tests.client.recorded import copy_recorded

RECORDED = Path(__file__).parents[2] / "recorded" / "forge-0.1.0"
COMPUTING = {"torch", "numpy", "open_clip", "peft", "flwr"}
COMMANDS = (
    ["log"],
    ["log", "--journal"],
    ["log", "--graph"],
    ["show"],
    ["show", "tissue-lung"],
    ["blame", "tissue-lung"],
    ["diff", "1", "--no-weights"],
    ["contributors"],
    ["fsck"],
    ["tag", "v1", "1"],
    ["release", "v2"],
    ["tag", "--list"],
    ["page", "--out", "SITE"],
    ["reject", "1", "--reason", "wrong labels"],
    ["accept", "1"],
    ["withdraw", "2"],
    ["revert", "3"],
    ["invite", "clinic", "--address", "forge.example.org:50051", "--out", "KIT"],
    ["revoke", "clinic"],
)


def test_who_reads_or_decides_waits_for_no_torch(tmp_path: Path) -> None:
    forge = recorded_forge(tmp_path)
    upgrade(forge)
    commands = [[str(tmp_path / word) if word in ("KIT", "SITE") else word for word in command] for command in COMMANDS]
    modules = imported([*command, "--forge", str(forge)] for command in commands)
    assert COMPUTING.isdisjoint(modules)
    assert "sqlalchemy" in modules


def test_a_centre_that_sends_asks_and_takes_back_waits_for_no_torch(tmp_path: Path) -> None:
    centre = copy_recorded(tmp_path / "centre")
    with serving(tmp_path / "forge", load_base("medforge-tiny")) as (_, address):
        workspace, there = ["--workspace", str(centre)], ["--at", address]
        modules = imported(
            [
                ["push", *workspace, *there],
                ["status", *workspace],
                ["status", *workspace, *there],
                ["log", *there],
                ["withdraw", "1", *there],
            ]
        )
    assert COMPUTING.isdisjoint(modules)
    assert "grpc" in modules


def test_reading_leaves_a_ledger_of_0_1_0_as_it_is(tmp_path: Path) -> None:
    forge = recorded_forge(tmp_path)
    before = dump(forge)
    for command in (["log"], ["log", "--graph"], ["show"], ["blame", "tissue-lung"], ["tag", "--list"], ["fsck"]):
        result = CliRunner().invoke(build_app(), [*command, "--forge", str(forge)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert dump(forge) == before


def imported(commands: Iterable[Sequence[str]]) -> set[str]:
    """What a fresh interpreter has imported once it has run some `medforge` commands, each of which must succeed."""
    script = f"""
import json, sys
from medforge.cli import main
ended = []
for command in {list(commands)!r}:
    try:
        main(command)
    except SystemExit as end:
        ended.append(end.code or 0)
print(json.dumps([ended, sorted(sys.modules)]), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    ended, modules = json.loads(done.stderr.splitlines()[-1])
    assert ended
    assert not any(ended), done.stderr[:2000]
    return set(modules)


def recorded_forge(tmp_path: Path) -> Path:
    """A copy of the recorded forge, its owner's alone as `fsck` wants it."""
    forge = shutil.copytree(RECORDED, tmp_path / "forge")
    for path in (forge, *forge.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
    return forge


def dump(forge: Path) -> list[str]:
    """Every table and row of a forge's ledger, as SQL."""
    connection = sqlite3.connect(forge / "ledger.sqlite")
    try:
        return list(connection.iterdump())
    finally:
        connection.close()
