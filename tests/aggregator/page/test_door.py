"""Who may look at live pages."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.page.door import Door, check_door, token_in
from medforge.errors import InvalidInput

FORGE = "0f1e2d3c-0000-4000-8000-000000000001"
TOKEN = "t" * 43


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "[::1]", "127.8.8.8:80"]
)
def test_this_machine_is_known_by_its_names(host: str) -> None:
    assert Door(FORGE, None).knows_host(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil:80", "::1", "0.0.0.0:1"]
)
def test_other_names_are_strange_without_a_token(host: str) -> None:
    assert not Door(FORGE, None).knows_host(host)
    assert Door(FORGE, TOKEN).knows_host(host)


@given(st.text(max_size=80))
def test_only_the_proof_is_admitted(text: str) -> None:
    door = Door(FORGE, TOKEN)
    proof = door.proof(TOKEN)
    assert proof is not None
    assert door.admits(proof)
    assert TOKEN not in proof
    assert door.admits(text) == (text == proof)
    assert (door.proof(text) is None) == (text != TOKEN)
    # the cookie of one forge opens no other
    assert not Door("another", TOKEN).admits(proof)


def test_without_a_token_nothing_is_proven() -> None:
    door = Door(FORGE, None)
    assert door.admits("")
    assert door.proof("") is None


def test_a_token_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "new" / "token"
    token = token_in(path)
    assert len(token) == 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token_in(path) == token
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="chmod 600"):
        token_in(path)


@pytest.mark.parametrize(
    "written", [b"", b"short", b"x" * 201, b"with a blank in the middle of forty characters", b"\xff" * 40]
)
def test_what_is_no_token_is_refused(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(written)
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match="holds no token"):
        token_in(path)


def test_a_network_is_asked_for_a_token(tmp_path: Path) -> None:
    check_door("127.0.0.1:0", None)
    check_door("0.0.0.0:8080", tmp_path / "token")
    for listen in ("0.0.0.0:8080", "[::]:8080", "forge.example:80"):
        with pytest.raises(InvalidInput, match="--page-token"):
            check_door(listen, None)
