"""`log --kit` of a real forge over TLS: what was seen is kept, a restore is said, a rewritten history is an error."""

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from medforge.aggregator.backup.age import Identity
from medforge.aggregator.backup.making import back_up
from medforge.aggregator.backup.restoring import restore
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.invite import invite
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.model.opening import open_model
from medforge.proto.connection import Connection
from medforge.proto.errors import HistoryRewritten
from medforge.proto.kit import Kit
from tests.aggregator.cli.conftest import sent
from tests.aggregator.forges import fold_all, open_main, settings_of
from tests.aggregator.serving import serving

ROUTED = settings_of("routed", "output", "gated")
KEY = Identity.new()


def grow(directory: Path, base: BaseModule, seeds: Sequence[int]) -> None:
    main = open_main(directory, base, ROUTED)
    fold_all(main, [sent(base, seed, f"task {seed}", "north") for seed in seeds])
    main.forge.close()


@pytest.fixture
def place(tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A forge of four commits, a kit for it, and as it was at two: a backup and a copy, in which another one came."""
    monkeypatch.setenv("MEDFORGE_CACHE", str(tmp_path / "cache"))
    grow(tmp_path / "forge", tiny_base, [0, 1])
    forge = Forge.open(tmp_path / "forge", alone=True)
    invite(forge, "north", "127.0.0.1:1", tmp_path / "kit")
    back_up(forge, tmp_path / "backup.age", KEY.recipient)
    forge.close()
    shutil.copytree(tmp_path / "forge", tmp_path / "copy")
    grow(tmp_path / "copy", tiny_base, [7])
    grow(tmp_path / "forge", tiny_base, [2, 3])
    return tmp_path


@pytest.mark.parametrize(
    "line", ["show head", "diff 1 2 --no-weights", "blame 'task 0'", "tag --list", "withdraw 'task 0'"]
)
def test_whichever_command_meets_a_restored_forge_first_says_so(place: Path, tiny_base: BaseModule, line: str) -> None:
    def typed(name: str, line: str) -> Result:
        with serving(place / name, tiny_base, settings=ROUTED, tls=True) as (_, at):
            return CliRunner().invoke(build_app(), [*shlex.split(line), "--kit", str(place / "kit"), "--at", at])

    typed("forge", "log")
    restore(place / "backup.age", KEY, place / "restored")
    assert "and 2 commits that were seen here are not in it any more" in typed("restored", line).stderr
    assert "not in it any more" not in typed("restored", line).stderr


def test_who_opens_the_model_of_a_restored_forge_is_told_so(
    place: Path, tiny_base: BaseModule, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(name: str) -> str:
        with serving(place / name, tiny_base, settings=ROUTED, tls=True) as (_, at):
            open_model(None, Connection(at, Kit.load(place / "kit")), base=tiny_base)
        return capsys.readouterr().err

    assert "not in it any more" not in told("forge")
    restore(place / "backup.age", KEY, place / "restored")
    assert "and 2 commits that were seen here are not in it any more" in told("restored")


def test_it_notices_what_became_of_what_it_has_seen(place: Path, tiny_base: BaseModule) -> None:
    def log(name: str, *words: str) -> Result:
        with serving(place / name, tiny_base, settings=ROUTED, tls=True) as (_, at):
            typed = ["log", "--kit", str(place / "kit"), "--at", at, *words]
            return CliRunner().invoke(build_app(), typed, env={"COLUMNS": "140"})

    def commits(found: Result) -> Any:
        return [one["digest"] for one in json.loads(found.stdout)["commits"]]

    seen = commits(log("forge", "--json"))
    assert len(seen) == 4
    assert commits(log("forge", "--json")) == seen
    assert "2 older commits are not listed; --before 3 lists" in log("forge", "--limit", "2").stdout
    rewritten = log("copy")
    assert isinstance(rewritten.exception, HistoryRewritten)
    assert "has told that its commit 4 is" in str(rewritten.exception)
    assert "now it has no such commit, and says nothing of a restore; ask whoever runs it" in str(rewritten.exception)
    restore(place / "backup.age", KEY, place / "restored")
    grow(place / "restored", tiny_base, [7])
    restored = log("restored", "--json")
    assert "and 2 commits that were seen here are not in it any more" in restored.stderr
    assert commits(restored)[:2] == seen[:2]
    assert len(commits(restored)) == 3
    assert "not in it any more" not in log("restored").stderr
    # it was not said of the forge as it was before
    assert isinstance(log("forge").exception, HistoryRewritten)
