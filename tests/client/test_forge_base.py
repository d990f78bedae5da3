"""A forge hands out its own base module: whole, resumed, and never anything else."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.aggregator.forge.base_files import BaseFiles
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.invite import invite
from medforge.base import load_base
from medforge.client import forge_base
from medforge.client.forge_base import fetch_from_forge
from medforge.errors import CorruptFile, ForgeUnavailable, InvalidInput
from medforge.proto.connection import Connection
from medforge.proto.errors import NotFound
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import serving
from tests.core.bases.biomed import write_snapshot
from tests.core.cli.commands import APP


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Forge, Connection]]:
    """A forge on a base module that lies in a directory, as a hub's or a site's own does."""
    place = tmp_path_factory.mktemp("served")
    write_snapshot(place / "published")
    base = load_base(f"hf-local:{place / 'published'}", "cpu")
    with serving(place / "forge", base, tls=True) as (forge, at):
        kit = invite(forge, "Centre A", at, place / "kit")
        yield forge, Connection(at, kit)


def test_the_same_base_module_comes_over_the_one_connection(served: tuple[Forge, Connection], tmp_path: Path) -> None:
    forge, connection = served
    assert connection.kit is not None
    asked = ["base", "fetch", "--kit", str(connection.kit.directory), "--out", str(tmp_path / "base"), "--json"]
    done = CliRunner().invoke(APP, asked, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["fingerprint"] == forge.settings.base
    assert load_base(f"hf-local:{tmp_path / 'base'}", "cpu").fingerprint == forge.settings.base
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_it_goes_on_where_it_stopped(
    served: tuple[Forge, Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = served[1]
    read, asked_from = RemoteForge.base_file, []

    def cut(self: RemoteForge, file: object, offset: int) -> Iterator[bytes]:
        asked_from.append((file.name, offset))  # type: ignore[attr-defined]
        for data in read(self, file, offset):  # type: ignore[arg-type]
            if len(asked_from) == 1 and len(data) > 10:
                yield data[:10]
                raise ForgeUnavailable("the cable was pulled")
            yield data

    monkeypatch.setattr(RemoteForge, "base_file", cut)
    with pytest.raises(ForgeUnavailable):
        fetch_from_forge(connection, tmp_path / "base")
    assert not (tmp_path / "base").exists()
    first = asked_from[0][0]
    assert fetch_from_forge(connection, tmp_path / "base")[1] == served[0].settings.base
    assert asked_from[1] == (first, 10)


def test_what_comes_altered_is_not_kept(
    served: tuple[Forge, Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = RemoteForge.base_file

    def altered(self: RemoteForge, file: object, offset: int) -> Iterator[bytes]:
        for data in read(self, file, offset):  # type: ignore[arg-type]
            yield bytes([data[0] ^ 1]) + data[1:]

    monkeypatch.setattr(RemoteForge, "base_file", altered)
    with pytest.raises(CorruptFile, match="came altered from"):
        fetch_from_forge(served[1], tmp_path / "base")
    monkeypatch.undo()
    assert fetch_from_forge(served[1], tmp_path / "base")[1] == served[0].settings.base


def test_another_base_module_than_the_forges_is_refused(
    served: tuple[Forge, Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = RemoteForge.describe

    def other(self: RemoteForge) -> object:
        reply = told(self)
        reply.base = "0" * 64
        return reply

    monkeypatch.setattr(RemoteForge, "describe", other)
    with pytest.raises(CorruptFile, match="not the forge's 000000000000"):
        fetch_from_forge(served[1], tmp_path / "base")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_said_before_anything_is_written(
    served: tuple[Forge, Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(forge_base.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(InvalidInput, match="MB more, 0 are free at"):
        fetch_from_forge(served[1], tmp_path / "base")


def test_what_is_inside_medforge_needs_no_fetching(tmp_path: Path) -> None:
    assert BaseFiles(tmp_path, "medforge-tiny").files() == ()
    base = load_base("medforge-tiny", "cpu")
    with serving(tmp_path / "forge", base) as (_, at):
        asked = ["base", "fetch", "--at", at, "--out", str(tmp_path / "base")]
        done = CliRunner().invoke(APP, asked, catch_exceptions=False)
        as_json = CliRunner().invoke(APP, [*asked, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        "the forge's base module, medforge-tiny, is inside MedForge: there is nothing to fetch; "
        "give --base medforge-tiny\n"
    )
    assert json.loads(as_json.stdout) == {
        "spec": "medforge-tiny", "directory": None, "fingerprint": base.fingerprint, "bytes": 0
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("base")) == []


def test_a_forge_whose_base_module_is_gone_says_so(tmp_path: Path) -> None:
    gone = BaseFiles(tmp_path, f"hf-local:{tmp_path / 'nowhere'}")
    with pytest.raises(ForgeUnavailable, match="cannot hand out its base module just now"):
        gone.files()


def test_no_other_file_of_the_forge_comes_that_way(served: tuple[Forge, Connection]) -> None:
    with RemoteForge(served[1]) as remote:
        file = next(iter(remote.base_files().values()))
        file.digest = "0" * 64
        with pytest.raises(NotFound, match="the base module has no file 000000000000"):
            list(remote.base_file(file, 0))


def test_one_of_the_two_is_named(tmp_path: Path) -> None:
    for words in ([], ["medforge-tiny", "--at", "127.0.0.1:1"]):
        with pytest.raises(InvalidInput, match="name the base module by its spec, or the forge whose it is with --kit"):
            CliRunner().invoke(APP, ["base", "fetch", *words, "--out", str(tmp_path / "base")], catch_exceptions=False)
