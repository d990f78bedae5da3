"""How a maintainer says where the ledger is, without its password standing where others read it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.database import LedgerUnavailable
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.errors import InvalidInput
from tests.aggregator.serving import FAST

WARNING = "everybody on this machine can read the password on this command line"
OF_A_SECRET = "postgresql://medforge:hunter2xyz@127.0.0.1:1/ledger"


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> tuple[Path, str]:
    """A forge whose ledger is elsewhere, and where."""
    place = tmp_path_factory.mktemp("apart")
    url = f"sqlite:///{place / 'elsewhere.sqlite'}"
    Forge.establish(place / "forge", tiny_base, FAST, ledger_url=url).close()
    return place / "forge", url


def listed(forge: Path, *more: str, variable: str | None = None) -> Result:
    words = ["task", "list", "--forge", str(forge), *more]
    return CliRunner().invoke(build_app(), words, env={"MEDFORGE_LEDGER": variable})


def test_option_variable_and_file_say_the_same(apart: tuple[Path, str], tmp_path: Path) -> None:
    forge, url = apart
    secret = tmp_path / "a secret"
    secret.write_text(f"{url}\n")
    ways = [
        listed(forge, "--ledger", url),
        listed(forge, "--ledger", f"file:{secret}"),
        listed(forge, variable=url),
        listed(forge, variable=f"file:{secret}"),
        # what is typed comes before what is set
        listed(forge, "--ledger", url, variable="sqlite:////nowhere/ledger.sqlite"),
    ]
    assert [way.exit_code for way in ways] == [0] * len(ways), ways
    assert all("no task is declared yet" in way.output and WARNING not in way.output for way in ways)
    for unset in (listed(forge), listed(forge, variable="")):
        assert isinstance(unset.exception, InvalidInput)
        assert "give its address with --ledger or MEDFORGE_LEDGER" in str(unset.exception)


def test_a_ledger_of_the_forges_own_is_not_looked_for_elsewhere(tmp_path: Path, tiny_base: BaseModule) -> None:
    Forge.establish(tmp_path / "forge", tiny_base, FAST).close()
    refused = listed(tmp_path / "forge", variable=f"sqlite:///{tmp_path / 'other.sqlite'}")
    assert "leave --ledger out and MEDFORGE_LEDGER unset" in str(refused.exception)
    assert not (tmp_path / "other.sqlite").exists()


def test_a_password_that_is_typed_is_warned_of_and_one_that_is_read_is_not(
    apart: tuple[Path, str], tmp_path: Path
) -> None:
    forge, _ = apart
    secret = tmp_path / "secret"
    secret.write_text(OF_A_SECRET)
    assert listed(forge, "--ledger", OF_A_SECRET).stderr.count(WARNING) == 1
    for hidden in (listed(forge, "--ledger", f"file:{secret}"), listed(forge, variable=OF_A_SECRET)):
        assert WARNING not in hidden.stderr
        assert isinstance(hidden.exception, LedgerUnavailable)
        assert "hunter2xyz" not in hidden.output + str(hidden.exception)


def test_help_does_not_show_what_the_variable_holds() -> None:
    shown = CliRunner().invoke(build_app(), ["serve", "--help"], env={"MEDFORGE_LEDGER": OF_A_SECRET})
    assert "MEDFORGE_LEDGER" in shown.output
    assert "hunter2xyz" not in shown.output
