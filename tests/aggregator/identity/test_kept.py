"""Keys are made once: what is lost is said, and never replaced."""

from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.key_rotation import KEY_FILE
from medforge.aggregator.identity.authority import Authority
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.identity.kept import authority_of, check_authority
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.errors import CorruptFile
from medforge.proto.signing import new_key, save_key


@pytest.fixture
def forge(tmp_path: Path, tiny_base: BaseModule) -> Forge:
    return Forge.establish(tmp_path / "forge", tiny_base, choose_settings())


def contents(forge: Forge) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (forge.directory / "keys").iterdir() if path.suffix != ".lock"}


@pytest.mark.parametrize("lost", [("ca.pem",), ("ca.key",), ("ca.pem", "ca.key")])
def test_a_lost_authority_is_not_made_again(forge: Forge, tmp_path: Path, lost: tuple[str, ...]) -> None:
    invite(forge, "Centre A", "localhost:1", tmp_path / "kit")
    assert check_authority(forge).problems == ()
    for name in lost:
        (forge.directory / "keys" / name).unlink()
    kept = contents(forge)
    with pytest.raises(CorruptFile, match=r"is missing; restore it from a backup"):
        authority_of(forge)
    assert contents(forge) == kept
    assert "is missing; restore it from a backup" in check_authority(forge).problems[0]


def test_contributors_of_an_earlier_version_are_enough_to_tell(forge: Forge, tmp_path: Path) -> None:
    """A ledger of 0.1.0 does not name its authority."""
    Authority.of(forge.directory, forge.settings.forge)
    invite(forge, "Centre A", "localhost:1", tmp_path / "kit")
    forge.ledger.set_fact("authority", Authority.of(forge.directory, forge.settings.forge).fingerprint)
    (forge.directory / "keys" / "ca.pem").unlink()
    with pytest.raises(CorruptFile, match="is missing"):
        authority_of(forge)


def test_another_authority_in_its_place_is_noticed(forge: Forge, tmp_path: Path) -> None:
    authority_of(forge)
    other = Authority.of(tmp_path / "other", forge.settings.forge)
    for name in ("ca.pem", "ca.key"):
        (forge.directory / "keys" / name).write_bytes((tmp_path / "other" / "keys" / name).read_bytes())
    with pytest.raises(CorruptFile, match=r"is not the authority .* that made this forge's kits; restore"):
        authority_of(forge)
    assert other.forge == forge.settings.forge
    assert "is not the authority" in check_authority(forge).problems[0]


def test_a_forge_that_never_had_one_is_sound(forge: Forge) -> None:
    assert check_authority(forge).problems == ()
    assert not (forge.directory / "keys" / "ca.pem").exists()


def test_an_authority_whose_making_was_cut_short_is_made(forge: Forge) -> None:
    authority_of(forge)
    (forge.directory / "keys" / "ca.making").write_bytes(b"")
    (forge.directory / "keys" / "ca.pem").unlink()
    made = Authority.of(forge.directory, forge.settings.forge)
    assert Authority.of(forge.directory, forge.settings.forge).pem == made.pem


@pytest.mark.parametrize("lost", [True, False])
def test_a_lost_or_strange_signing_key_stops_the_forge(forge: Forge, tiny_base: BaseModule, lost: bool) -> None:
    forge.close()
    place = forge.directory / KEY_FILE
    place.unlink()
    if not lost:
        save_key(place, new_key())
    with pytest.raises(CorruptFile, match=r"is missing, and a forge's key is made once|is not the key .* signs with"):
        Forge.establish(forge.directory, tiny_base, forge.settings.method)
    assert place.exists() != lost
