import json
import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from medforge.aggregator.identity.authority import Authority
from medforge.errors import CorruptFile, InvalidInput
from medforge.proto.certificates import now, spell_time
from medforge.proto.connection import Connection
from medforge.proto.kit import Kit
from medforge.proto.signing import SUBMIT, new_key, public_bytes, save_key, verify
from medforge.proto.statements import submit_statement
from tests.kits import DAY, FORGE, make_kit

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.of(tmp_path_factory.mktemp("forge"), FORGE)


@pytest.fixture
def kit(authority: Authority, tmp_path: Path) -> Kit:
    return make_kit(authority, tmp_path / "kit")


def test_a_kit_comes_back_as_it_was_saved(kit: Kit) -> None:
    again = Kit.load(kit.directory)
    assert again.card == kit.card
    assert again.certificate == kit.certificate
    assert public_bytes(again.signing_key) == public_bytes(kit.signing_key)
    again.check_valid(now())


def test_secrets_are_readable_by_their_owner_alone_and_are_not_printed(kit: Kit) -> None:
    for name in ("client.key", "signing.key"):
        assert stat.S_IMODE((kit.directory / name).stat().st_mode) == 0o600
    assert kit.readable_by_others() == []
    (kit.directory / "signing.key").chmod(0o644)
    assert kit.readable_by_others() == ["signing.key"]
    assert "PRIVATE" not in repr(kit)


@pytest.mark.parametrize("name", ["kit.json", "ca.pem", "client.pem", "client.key", "signing.key"])
def test_a_missing_part_is_named(kit: Kit, name: str) -> None:
    (kit.directory / name).unlink()
    with pytest.raises(InvalidInput, match=f"is not a whole kit: {name} is not there; give the directory"):
        Kit.load(kit.directory)


def test_what_is_no_directory_names_every_part(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="kit.json, ca.pem, client.pem, client.key, signing.key are not there"):
        Kit.load(tmp_path / "absent")


@pytest.mark.parametrize("name", ["kit.json", "ca.pem", "client.pem", "client.key", "signing.key"])
def test_a_damaged_part_is_named(kit: Kit, name: str) -> None:
    file = kit.directory / name
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(CorruptFile, match=name):
        Kit.load(kit.directory)


def test_a_card_with_a_wrong_field_is_told_by_its_name(kit: Kit) -> None:
    card = json.loads((kit.directory / "kit.json").read_bytes())
    (kit.directory / "kit.json").write_text(json.dumps(card | {"key": "short"}))
    with pytest.raises(CorruptFile, match=r"kit.json is not a kit's card \(key: "):
        Kit.load(kit.directory)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_part_gets_a_sentence(kit: Kit) -> None:
    (kit.directory / "client.key").chmod(0)
    with pytest.raises(InvalidInput, match=r"cannot read the certificate's key at .*client.key"):
        Kit.load(kit.directory)


class TestMixedUp:
    """Parts of two kits do not pass for one."""

    @pytest.fixture
    def other(self, authority: Authority, tmp_path: Path) -> Kit:
        return make_kit(authority, tmp_path / "other", contributor="Centre B")

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("client.pem", "client.pem belongs to 'Centre B'"),
            ("client.key", "client.key is not the key of client.pem"),
            ("signing.key", "signing.key is not the one that client.pem names"),
        ],
    )
    def test_a_part_of_another_contributors_kit(self, kit: Kit, other: Kit, name: str, sentence: str) -> None:
        (kit.directory / name).write_bytes((other.directory / name).read_bytes())
        with pytest.raises(CorruptFile, match=rf"do not belong together \({sentence}\); unpack the kit again"):
            Kit.load(kit.directory)

    def test_the_ca_of_another_forge(self, kit: Kit, tmp_path: Path) -> None:
        (kit.directory / "ca.pem").write_bytes(Authority.of(tmp_path / "forge two", FORGE).pem)
        with pytest.raises(CorruptFile, match="client.pem was not issued by ca.pem"):
            Kit.load(kit.directory)

    def test_a_signing_key_of_ones_own_making(self, kit: Kit) -> None:
        save_key(kit.directory / "signing.key", new_key())
        with pytest.raises(CorruptFile, match="signing.key is not the one that client.pem names"):
            Kit.load(kit.directory)


def test_a_kit_that_has_ended_or_not_begun_says_so(authority: Authority, tmp_path: Path) -> None:
    over = make_kit(authority, tmp_path / "over", begins=now() - 9 * DAY, ends=now() - 2 * DAY)
    with pytest.raises(
        InvalidInput, match=r"the certificate of Centre A ended on .*; ask .* \(`medforge invite --renew`"
    ):
        over.check_valid(now())
    over.check_valid(now() - 3 * DAY)
    early = make_kit(authority, tmp_path / "early", begins=now() + timedelta(hours=2), ends=now() + 9 * DAY)
    with pytest.raises(InvalidInput, match="but this machine's clock says .*; set the clock"):
        early.check_valid(now())


def test_a_kit_says_that_it_ends_in_the_thirty_days_before(authority: Authority, tmp_path: Path) -> None:
    kit = make_kit(authority, tmp_path / "kit", ends=now() + 60 * DAY)
    ends = kit.x509.not_valid_after_utc
    for before, said in ((30 * DAY, None), (30 * DAY - SECOND, "29 days"), (DAY, "1 day"), (SECOND, "less than a day")):
        sentence = kit.ends_soon(ends - before)
        assert (sentence is None) == (said is None)
        assert said is None or f"ends in {said}, on {spell_time(ends)}; ask whoever runs" in str(sentence)
    assert kit.ends_soon(ends + SECOND) is None


def test_it_signs_for_its_own_forge_only(kit: Kit) -> None:
    signature = kit.sign_submit("a" * 64)
    verify(public_bytes(kit.signing_key), SUBMIT, submit_statement(FORGE, "a" * 64), signature)


def test_the_address_is_the_kits_unless_another_is_given(kit: Kit) -> None:
    assert Connection.from_options(None, kit.directory).address == "127.0.0.1:1"
    opened = Connection.from_options("forge.example.org:443", kit.directory)
    assert opened.address == "forge.example.org:443"
    assert opened.kit is not None
    assert opened.tls is opened.kit
    assert Connection.from_options(None, kit.directory, plaintext=True).tls is None
    assert Connection.from_options("forge.example.org:443", None) == Connection("forge.example.org:443")
    # before hours of training, rather than at the push
    for wrong in ("forge.example.org", "forge:", "forge:99999", "::1:443"):
        with pytest.raises(InvalidInput, match="is not an address; write"):
            Connection.from_options(wrong, None)
    assert Connection.if_asked(None, None) is None
    with pytest.raises(InvalidInput, match="give your kit with --kit DIR, or its address with --at HOST:PORT"):
        Connection.from_options(None, None)
