"""Encrypted private keys: others' programs read them, and a wrong or missing passphrase changes nothing."""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.authority import Authority
from medforge.aggregator.identity.invite import Terms, answer, invite
from medforge.aggregator.identity.rotation import rotate_authority
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.errors import CorruptFile, InvalidInput, MedForgeError
from medforge.proto import key_files
from medforge.proto.certificates import new_certificate_key, now
from medforge.proto.connection import Connection
from medforge.proto.handshake import handshake
from medforge.proto.key_files import encrypted_pem, is_encrypted, load_private_key, pem_of, save_private_key
from medforge.proto.kit import Kit
from medforge.proto.kit_request import KitRequest
from medforge.proto.passphrase import VARIABLE
from medforge.proto.remote import RemoteForge
from medforge.proto.signing import new_key
from tests.aggregator.serving import FAST, serving
from tests.kits import DAY, FORGE, make_kit

PASSPHRASE = "drei Worte für süd"


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encrypt at a fifth of the cost."""
    monkeypatch.setattr(key_files, "_LANES", 1)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("make", [new_certificate_key, new_key])
def test_cryptography_and_openssl_read_what_is_written(make: object, tmp_path: Path) -> None:
    key = make()  # type: ignore[operator]
    pem = encrypted_pem(key, PASSPHRASE.encode())
    assert is_encrypted(pem)
    assert pem != encrypted_pem(key, PASSPHRASE.encode())
    read = load_pem_private_key(pem, PASSPHRASE.encode())
    assert pem_of(read) == pem_of(key)  # type: ignore[arg-type]
    (tmp_path / "key").write_bytes(pem)
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    command = [openssl, "pkey", "-in", str(tmp_path / "key"), "-passin", f"pass:{PASSPHRASE}"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == pem_of(key)
    told = subprocess.run([openssl, "asn1parse", "-in", str(tmp_path / "key")], capture_output=True, check=True).stdout
    assert b"scrypt" in told
    assert b"aes-256-cbc" in told


@pytest.mark.usefixtures("cheap")
def test_damage_and_wrong_words_get_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, key = tmp_path / "key", new_key()
    save_private_key(path, key, PASSPHRASE.encode())
    with pytest.raises(InvalidInput, match=rf"is encrypted, and its passphrase is not given; set {VARIABLE}"):
        load_private_key(path, "it")
    monkeypatch.setenv(VARIABLE, "another passphrase")
    with pytest.raises(InvalidInput, match="the passphrase is another one or the file is damaged; give the right one"):
        load_private_key(path, "it")
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    assert pem_of(load_private_key(path, "it")) == pem_of(key)
    (tmp_path / "words").write_text(PASSPHRASE + "\n")
    monkeypatch.setenv(VARIABLE, f"file:{tmp_path / 'words'}")
    assert pem_of(load_private_key(path, "it")) == pem_of(key)
    (tmp_path / "words").write_text("one\ntwo\n")
    with pytest.raises(InvalidInput, match="does not hold one line"):
        load_private_key(path, "it")
    monkeypatch.setenv(VARIABLE, "")
    with pytest.raises(InvalidInput, match="is empty; set it"):
        load_private_key(path, "it")
    path.write_bytes(path.read_bytes()[:80])
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    with pytest.raises((InvalidInput, CorruptFile), match="backup"):
        load_private_key(path, "it")


@pytest.mark.usefixtures("cheap")
def test_a_kit_is_encrypted_used_and_opened_again(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path / "forge", tiny_base, tls=True) as (forge, at):
        kit = invite(forge, "Centre", at, tmp_path / "kit").directory
        before = contents(kit)
        monkeypatch.setenv(VARIABLE, "short")
        with pytest.raises(InvalidInput, match="has less than 12 characters; choose a longer one"):
            run("encrypt-keys", kit)
        assert contents(kit) == before
        monkeypatch.setenv(VARIABLE, PASSPHRASE)
        assert "client.key, signing.key in" in run("encrypt-keys", kit)
        assert all(is_encrypted((kit / name).read_bytes()) for name in ("client.key", "signing.key"))
        assert (kit / "client.key").stat().st_mode & 0o077 == 0
        opened = Kit.load(kit)
        with RemoteForge(Connection(at, opened)) as remote:
            remote.describe()
        assert handshake(at, opened, 20).version
        monkeypatch.delenv(VARIABLE)
        with pytest.raises(InvalidInput, match="client.key is encrypted, and its passphrase is not given"):
            Kit.load(kit)
        monkeypatch.setenv(VARIABLE, "another passphrase")
        encrypted = contents(kit)
        with pytest.raises(MedForgeError, match="the passphrase is another one"):
            run("encrypt-keys", kit, "--remove")
        assert contents(kit) == encrypted
        monkeypatch.setenv(VARIABLE, PASSPHRASE)
        run("encrypt-keys", kit, "--remove")
        assert contents(kit) == before


@pytest.mark.usefixtures("cheap")
def test_a_forges_keys_are_encrypted_from_the_first_on(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    keys = tmp_path / "forge" / "keys"
    with serving(tmp_path / "forge", tiny_base, tls=True) as (forge, at):
        kit = invite(forge, "Centre", at, tmp_path / "kit").directory
        rotate_authority(forge, DAY)
        with RemoteForge(Connection(at, Kit.load(kit))) as remote:
            remote.describe()
    assert [path.name for path in sorted(keys.glob("*.key"))] == ["ca.key", "forge.key", "overlap.key"]
    assert all(is_encrypted(path.read_bytes()) for path in keys.glob("*.key"))
    # what travels is for the contributor, who does not know the forge's passphrase
    assert not is_encrypted((kit / "client.key").read_bytes())
    before = contents(tmp_path / "forge")
    monkeypatch.delenv(VARIABLE)
    for command in (
        ("invite", "Other", "--address", "localhost:1", "--out", tmp_path / "other"),
        ("rotate-ca",),
        ("rotate-key",),
    ):
        with pytest.raises(InvalidInput, match=r"key is encrypted, and its passphrase is not given; set"):
            run(*command, "--forge", tmp_path / "forge")
    with pytest.raises(InvalidInput, match="its passphrase is not given"):
        Forge.establish(tmp_path / "forge", tiny_base, FAST)
    assert not (tmp_path / "other").exists()
    assert {name: data for name, data in contents(tmp_path / "forge").items() if "sqlite" not in name} == {
        name: data for name, data in before.items() if "sqlite" not in name
    }


@pytest.mark.usefixtures("cheap")
def test_requested_keys_are_encrypted_where_a_passphrase_is_known(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match="no passphrase is given"):
        run("request", "Centre", "--out", tmp_path / "kit", "--encrypt")
    assert not (tmp_path / "kit").exists()
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    run("request", "Centre", "--out", tmp_path / "kit")
    request = KitRequest.parse((tmp_path / "kit" / "request.json").read_bytes(), "it")
    monkeypatch.delenv(VARIABLE)
    forge = Forge.establish(tmp_path / "forge", tiny_base, choose_settings())
    answer(forge, request, Terms("localhost:1", now() + DAY), tmp_path / "answer")
    shutil.copytree(tmp_path / "answer", tmp_path / "kit", dirs_exist_ok=True)
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    assert Kit.load(tmp_path / "kit").card.contributor == "Centre"


def test_what_is_neither_kit_nor_forge(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no kit and no forge with keys; give the directory of one"):
        run("encrypt-keys", tmp_path)
    kit = make_kit(Authority.of(tmp_path / "authority", FORGE), tmp_path / "kit")
    with pytest.raises(InvalidInput, match="no passphrase is given; set"):
        run("encrypt-keys", kit.directory)
