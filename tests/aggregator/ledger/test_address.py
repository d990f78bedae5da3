"""A ledger's address comes from what is typed or from a file, and its password is shown nowhere."""

import sqlite3
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.address import (
    address_of_file,
    given_address,
    holds_password,
    parse_address,
    show_address,
)
from medforge.aggregator.ledger.database import LedgerUnavailable
from medforge.aggregator.ledger.ledger import Ledger
from medforge.base_module import BaseModule
from medforge.errors import InvalidInput, MedForgeError
from tests.aggregator.serving import FAST
from tests.postgres import Cluster

SECRET = "hunter2xyz"
UNUSABLE = [
    # no such kind of database, and drivers that are not installed
    f"nosuchdatabase://medforge:{SECRET}@127.0.0.1/x",
    f"postgresql+nosuchdriver://medforge:{SECRET}@127.0.0.1/x",
    f"postgresql+pg8000://medforge:{SECRET}@127.0.0.1/x",
    f"postgresql+asyncpg://medforge:{SECRET}@127.0.0.1/x?password={SECRET}",
    f"mysql://medforge:{SECRET}@127.0.0.1/x",
    f"mssql+pyodbc:///?odbc_connect=PWD%3D{SECRET}",
    f"postgresql+nosuchdriver://127.0.0.1/x?user=medforge&password={SECRET}",
    # what cannot be read
    f"medforge:{SECRET}@127.0.0.1/x",
    f"postgresql:/medforge:{SECRET}@127.0.0.1/x",
    f"postgresql://medforge:{SECRET}",
    f"postgresql://medforge:{SECRET}@127.0.0.1:port/x",
    SECRET,
    # characters of a password that were not escaped
    f"postgresql://medforge:a@{SECRET}@127.0.0.1/x",
    f"postgresql://medforge:a@b:{SECRET}@127.0.0.1/x",
    f"postgresql://medforge:a@b/{SECRET}@127.0.0.1/x",
    f"postgresql://medforge:a@b?{SECRET}@127.0.0.1/x",
    f"postgresql:///medforge:{SECRET}@127.0.0.1/x",
]
UNREACHABLE = [
    f"postgresql+psycopg://medforge:{SECRET}@127.0.0.1:1/x",
    f"postgresql+psycopg://127.0.0.1:1/x?user=medforge&password={SECRET}",
    f"postgresql+psycopg://medforge:{SECRET}@127.0.0.1:1/x?nosuchoption={SECRET}&password={SECRET}",
    f"postgresql+psycopg://medforge:{SECRET}@127.0.0.1:1/x?sslmode=wrong",
    f"postgresql+psycopg://medforge:{SECRET}@127.0.0.1:1/x?connect_timeout={SECRET}&password={SECRET}",
    f"postgresql+psycopg://medforge:{SECRET}@nosuchhost.invalid/x",
    f"postgresql+psycopg://medforge:{SECRET}@{'h' * 70}/x",
]


@pytest.mark.parametrize("url", UNUSABLE)
def test_a_url_that_cannot_be_used_keeps_its_password(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not a usable ledger .* give an SQLAlchemy URL such as") as caught:
        Ledger(url)
    # with what it came from, which a log may show
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", UNREACHABLE)
def test_a_database_that_cannot_be_reached_keeps_its_password(url: str) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'medforge[postgres]'")
    with pytest.raises(
        MedForgeError, match=r"the ledger postgresql\+psycopg://.* cannot be opened .*address"
    ) as caught:
        Ledger(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_refused_password_is_not_shown(postgres: Cluster) -> None:
    url = postgres.url("nosuchledger").replace("tester@", f"tester:{SECRET}@")
    with pytest.raises(LedgerUnavailable, match="cannot be opened .*nosuchledger.* does not exist") as caught:
        Ledger(url)
    assert SECRET not in str(caught.value)


def test_sentences_about_a_ledger_that_is_open_keep_its_password(postgres: Cluster) -> None:
    url = postgres.new_ledger().replace("tester@", f"tester:{SECRET}@") + "?application_name=forge"
    ledger = Ledger(url)
    ledger.bind("one")
    with pytest.raises(InvalidInput, match=r"tester:\*\*\*@.* already belongs to forge one") as caught:
        ledger.bind("two")
    assert SECRET not in str(caught.value) + repr(ledger.url) + ledger.name
    postgres.execute("DROP TABLE facts CASCADE", url)
    with pytest.raises(SQLAlchemyError) as broken:
        ledger.bound  # noqa: B018
    assert SECRET not in str(broken.value)
    ledger.close()


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1))
def test_an_escaped_password_is_read_whole_and_shown_by_stars(password: str) -> None:
    url = parse_address(f"postgresql://medforge:{quote(password, safe='')}@database:5432/ledger")
    assert url.password == password
    assert show_address(url).endswith("://medforge:***@database:5432/ledger")


def test_postgresql_without_a_driver_is_psycopg() -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'medforge[postgres]'")
    assert parse_address("postgresql://database/ledger").drivername == "postgresql+psycopg"
    assert parse_address("postgresql+psycopg2://database/ledger").drivername == "postgresql+psycopg2"


def test_an_address_stands_in_a_file(tmp_path: Path) -> None:
    place = tmp_path / "ledger"
    place.write_text(f"\n  postgresql://medforge:{SECRET}@database/ledger \r\n\n")
    assert given_address(f"file:{place}") == f"postgresql://medforge:{SECRET}@database/ledger"
    assert given_address("sqlite:///x") == "sqlite:///x"
    with pytest.raises(InvalidInput, match=r"cannot read the ledger's address at .*nowhere: .*; check the path"):
        given_address(f"file:{tmp_path / 'nowhere'}")
    for wrong in ("", " \n", f"sqlite:///x\n{SECRET}"):
        place.write_text(wrong)
        with pytest.raises(InvalidInput, match="does not hold one line with the ledger's address; write") as caught:
            given_address(f"file:{place}")
        assert SECRET not in str(caught.value)


def test_an_address_with_a_password_is_told_from_one_without() -> None:
    assert all(holds_password(url) for url in UNREACHABLE)
    assert not any(holds_password(url) for url in ("sqlite:///a@b", "postgresql://me@host/x", "nonsense", "sqlite://"))


@pytest.mark.parametrize("name", ["dir?x", "dir#x", "dir with spaces", "dir%41", "a@b:c", "dir?mode=memory&uri=true"])
def test_a_forge_lies_in_its_own_directory_whatever_its_name(tmp_path: Path, tiny_base: BaseModule, name: str) -> None:
    directory = tmp_path / name
    forge = Forge.establish(directory, tiny_base, FAST)
    forge.ledger.set_fact("here", name)
    forge.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with sqlite3.connect((directory / "ledger.sqlite").absolute()) as raw:
        assert raw.execute("SELECT value FROM facts WHERE name = 'here'").fetchone() == (name,)
    again = Forge.establish(directory, tiny_base, FAST)
    assert again.ledger.fact("here") == name
    assert (
        parse_address(show_address(address_of_file(directory / "ledger.sqlite"))).database == again.ledger.url.database
    )
    again.close()
