"""A kit whose private keys never leave the hospital: asked for, answered and used, over real TLS."""

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.errors import CorruptFile, InvalidInput, MedForgeError
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import serving, upload
from tests.making import make_branch


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Iterator[tuple[Forge, str]]:
    with serving(tmp_path_factory.mktemp("served") / "forge", tiny_base, tls=True) as both:
        yield both


def run(*arguments: object) -> str:
    result = CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    with pytest.raises(MedForgeError) as raised:
        CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
    return str(raised.value)


class Hospital:
    """A hospital's side, and its maintainer's answers."""

    def __init__(self, served: tuple[Forge, str], place: Path, name: str) -> None:
        self.forge, self.at = served
        self.place, self.name = place, name

    def ask(self, directory: str, *options: object) -> Path:
        made = self.place / directory
        run("request", "--out", made, *(options or [self.name]))
        return made

    def command(self, asked: Path, *options: object) -> list[object]:
        out = asked.with_name(f"answer-{len(list(asked.parent.iterdir()))}")
        return ["invite", "--request", asked / "request.json", "--forge", self.forge.directory, "--address", self.at,
                "--out", out, *options]  # fmt: skip

    def answered(self, asked: Path, *options: object) -> Kit:
        """Copy the answer to the keys, and open what is a kit then."""
        told = json.loads(run(*self.command(asked, *options), "--json"))
        answer = Path(told["kit"])
        assert sorted(file.name for file in answer.iterdir()) == ["README.md", "ca.pem", "client.pem", "kit.json"]
        assert all(b"PRIVATE" not in file.read_bytes() for file in answer.iterdir())
        assert told["keys"] is False
        shutil.copytree(answer, asked, dirs_exist_ok=True)
        return Kit.load(asked)


def call(kit: Kit) -> None:
    with RemoteForge(Connection(kit.card.address, kit)) as remote:
        remote.describe()


def test_the_keys_stay_and_the_kit_pushes(served: tuple[Forge, str], tmp_path: Path, tiny_base: BaseModule) -> None:
    hospital = Hospital(served, tmp_path, "Klinik Süd")
    asked = hospital.ask("kit")
    secrets = {name: (asked / name).read_bytes() for name in ("client.key", "signing.key")}
    assert all(stat.S_IMODE((asked / name).stat().st_mode) == 0o600 for name in secrets)
    with pytest.raises(InvalidInput, match=r"are not there; send request.json to whoever runs the forge, and copy"):
        Kit.load(asked)
    kit = hospital.answered(asked)
    assert {name: (asked / name).read_bytes() for name in secrets} == secrets
    assert kit.card.display_name == "Klinik Süd"
    branch = make_branch(tiny_base, contributor=kit.card.contributor)
    with RemoteForge(Connection(kit.card.address, kit)) as remote:
        upload(remote, branch, tmp_path / "branch")
        remote.submit(branch.manifest.to_bytes(), kit.sign_submit(branch.digest)).verify()


def test_an_answer_without_its_keys_or_to_others_is_refused(served: tuple[Forge, str], tmp_path: Path) -> None:
    hospital = Hospital(served, tmp_path, "Centre W")
    asked, other = hospital.ask("kit"), hospital.ask("other")
    answer = Path(json.loads(run(*hospital.command(asked), "--json"))["kit"])
    with pytest.raises(InvalidInput, match="client.key, signing.key are not there; copy its files to the keys"):
        Kit.load(answer)
    shutil.copytree(answer, other, dirs_exist_ok=True)
    with pytest.raises(CorruptFile, match=r"are not for the keys in .*; copy there the answer to its own request.json"):
        Kit.load(other)


def test_a_request_renews_a_kit_and_both_are_good_for_a_while(served: tuple[Forge, str], tmp_path: Path) -> None:
    hospital = Hospital(served, tmp_path, "Centre R")
    first = hospital.answered(hospital.ask("first"))
    asked = hospital.ask("second", "--kit", first.directory)
    assert "was invited already; give --renew" in refused(*hospital.command(asked))
    second = hospital.answered(asked, "--renew")
    assert second.card.contributor == first.card.contributor
    call(first)
    call(second)
    # a third that the first signs, though the second is the kit by now
    stale = hospital.ask("stale", "--kit", first.directory)
    assert "the key of that kit did not sign it; have a new one made" in refused(*hospital.command(stale, "--renew"))
    # what was replaced may be in wrong hands, and does not come back
    assert "had a kit that was replaced or revoked" in refused(*hospital.command(first.directory, "--renew"))
    run("revoke", "Centre R", "--forge", hospital.forge.directory)
    assert "had a kit that was replaced or revoked" in refused(*hospital.command(asked, "--renew"))
    for kit in (first, second):
        with pytest.raises(NotAllowed, match="was revoked"):
            call(kit)


def test_a_request_for_another_name_is_refused_before_anything_is_made(
    served: tuple[Forge, str], tmp_path: Path
) -> None:
    hospital = Hospital(served, tmp_path, "Centre N")
    asked = hospital.ask("kit")
    command = hospital.command(asked)
    assert "asks for the name Centre N, not 'Centre M'" in refused(*command, "Centre M")
    assert "asks for the name Centre N, not 'cn'" in refused(*command, "--id", "cn")
    file = asked / "request.json"
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b"Centre N", b"Centre M"))
    assert "was altered" in refused(*command)
    file.write_bytes(kept)
    assert not list(tmp_path.glob("answer*"))
    assert hospital.forge.ledger.contributor("Centre M") is None
    assert "nobody is named" in refused(*(part for part in command if part not in ("--request", file)))
    hospital.answered(asked, "Centre N")


def test_who_asks_is_said_once(tmp_path: Path) -> None:
    assert "give one of the two" in refused("request", "--out", tmp_path / "kit")
    assert "leave --id out" in refused("request", "--out", tmp_path / "kit", "--kit", tmp_path, "--id", "x")
    assert not (tmp_path / "kit").exists()
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "mine").touch()
    assert "is not an empty directory" in refused("request", "Centre A", "--out", tmp_path / "kit")
