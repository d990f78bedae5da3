"""The forge gets another key: who knew the old one follows, and a crash leaves it with one of the two."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.aggregator.forge import key_rotation
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.forge.key_rotation import KEY_FILE, rotate_key
from medforge.aggregator.forge.tagging import tag_commit
from medforge.aggregator.identity.invite import invite
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.errors import CorruptFile, InvalidInput
from medforge.proto.connection import Connection
from medforge.proto.kit import Kit
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge
from medforge.proto.signing import public_bytes
from tests.aggregator.serving import FAST, serving, upload, wait_until_folded
from tests.making import make_branch


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def rotate(directory: Path) -> str:
    return str(json.loads(run("rotate-key", "--forge", directory, "--json"))["successor"])


def problems(directory: Path) -> list[str]:
    forge = Forge.open(directory)
    try:
        return [problem for check in check_forge(forge) for problem in check.problems]
    finally:
        forge.close()


def push(at: str, kit: Kit, base: BaseModule, seed: int, place: Path) -> Receipt:
    branch = make_branch(base, seed, task=f"task {seed}", contributor="Centre A")
    with RemoteForge(Connection(at, kit)) as remote:
        upload(remote, branch, place)
        return remote.submit(branch.manifest.to_bytes(), kit.sign_submit(branch.digest))


def test_who_knew_the_old_key_follows_to_the_new_one(tiny_base: BaseModule, tmp_path: Path) -> None:
    directory, made = tmp_path / "forge", []
    with serving(directory, tiny_base, tls=True) as (forge, at):
        kit = invite(forge, "Centre A", at, tmp_path / "kit")
        made.append(push(at, kit, tiny_base, 1, tmp_path / "1"))
        wait_until_folded(forge, 1)
        tag_commit(forge, "v1", "1")
        with pytest.raises(InvalidInput, match="another process serves the forge"):
            run("rotate-key", "--forge", directory)
    keys = [kit.card.key, rotate(directory), rotate(directory)]
    assert len(set(keys)) == 3
    with serving(directory, tiny_base, tls=True) as (forge, at):
        assert public_bytes(forge.key).hex() == keys[2]
        newer = invite(forge, "Centre B", at, tmp_path / "newer")
        assert newer.card.key == keys[2]
        made.append(push(at, kit, tiny_base, 2, tmp_path / "2"))
        for known in (kit, newer):
            with RemoteForge(Connection(at, known)) as remote:
                assert remote.tags()["v1"].key == keys[2]
    assert [(one.key, len(one.succession)) for one in made] == [(keys[0], 0), (keys[2], 2)]
    assert problems(directory) == []
    for number, receipt in enumerate(made):
        receipt.save(tmp_path / f"{number}.json")
        assert Receipt.load(tmp_path / f"{number}.json") == receipt
        assert "verified: forge" in run("verify", tmp_path / f"{number}.json", "--key", tmp_path / "kit")
    assert "verified" in run("verify", tmp_path / "1.json", "--key", keys[1])
    # the new key vouches for nothing that the old one signed
    assert "is another forge's, or from before" in run("verify", tmp_path / "0.json", "--key", keys[2], code=1)


def test_a_receipt_that_was_altered_or_is_anothers_is_not_verified(tiny_base: BaseModule, tmp_path: Path) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    receipt = forge.receipt(forge.admit(make_branch(tiny_base), tiny_base))
    forge.close()
    place = tmp_path / "receipt.json"
    receipt.save(place)
    assert "whether that is the forge's, --key KIT tells" in run("verify", place)
    told = json.loads(run("verify", place, "--key", "0" * 64, "--json", code=1))
    assert (told["verified"], told["key_given"], told["arrival"]) == (False, True, 1)
    receipt.model_copy(update={"arrival": 2}).save(place)
    assert "not verified: the receipt for arrival 2 is not signed" in run("verify", place, code=1)
    with pytest.raises(InvalidInput, match="'nobody' is no key and no kit; give 64 hex digits"):
        run("verify", place, "--key", "nobody")


class Crash(Exception):
    """Stand for a power cut."""


@pytest.mark.parametrize("point", ["before succession", "after succession"])
def test_a_crash_leaves_one_of_the_two_keys(
    tiny_base: BaseModule, tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "forge"
    Forge.establish(directory, tiny_base, FAST).close()

    def fail(name: str) -> None:
        if name == point:
            raise Crash

    with monkeypatch.context() as crashing:
        crashing.setattr(key_rotation, "reached", fail)
        forge = Forge.open(directory, alone=True)
        with pytest.raises(Crash):
            rotate_key(directory, forge.settings.forge, forge.ledger)
        forge.close()
    assert problems(directory) == []
    reopened = Forge.open(directory)
    assert len(reopened.keys) == (1 if point == "after succession" else 0)
    known = public_bytes(reopened.key).hex()
    reopened.close()
    rotate(directory)
    last = Forge.open(directory)
    assert [link.key for link in last.keys][-1] == known
    assert problems(directory) == []
    last.close()


def test_a_key_file_from_an_older_backup_is_noticed(tiny_base: BaseModule, tmp_path: Path) -> None:
    directory = tmp_path / "forge"
    Forge.establish(directory, tiny_base, FAST).close()
    old = (directory / KEY_FILE).read_bytes()
    rotate(directory)
    (directory / KEY_FILE).write_bytes(old)
    forge = Forge.open(directory)
    with pytest.raises(CorruptFile, match="is not the key .* that this forge signs with since"):
        _ = forge.key
    forge.close()
    assert any("that this forge signs with since" in problem for problem in problems(directory))
