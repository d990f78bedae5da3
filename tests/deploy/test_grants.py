"""A forge whose role in PostgreSQL owns nothing does everything that it must, and cannot touch history."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.key_rotation import rotate_key
from medforge.aggregator.forge.tagging import tag_commit, verified_tags
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import State
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.base_module import BaseModule
from medforge.cli.failures import report
from tests.aggregator.forges import UNEXAMINED, fold_all
from tests.aggregator.serving import FAST
from tests.making import make_branch
from tests.postgres import Cluster

GRANTS = Path(__file__).parents[2] / "deploy" / "postgresql" / "grants.sql"
FORBIDDEN = (
    "UPDATE journal SET about = '{}'",
    "DELETE FROM journal",
    "TRUNCATE commits",
    "UPDATE commits SET content = ''",
    "UPDATE tasks SET name = 'another'",
    "UPDATE arrivals SET contributor = 'another'",
    "UPDATE arrivals SET branch = 'another', accepted_at = ''",
    "DELETE FROM arrivals",
    "DELETE FROM contributors",
    "UPDATE origins SET plugin = 'another'",
    "ALTER TABLE journal DISABLE TRIGGER ALL",
    "DROP TRIGGER journal_no_update ON journal",
    "DROP TABLE commits",
    "CREATE TABLE mine (number int)",
)


@pytest.fixture
def served_by_a_role(postgres: Cluster, tmp_path: Path, tiny_base: BaseModule) -> Iterator[tuple[str, str]]:
    """The addresses of a ledger for its owner, who has begun a forge, and for the role that serves."""
    role, owners = f"server_{uuid4().hex[:8]}", postgres.new_ledger()
    Forge.establish(tmp_path / "forge", tiny_base, FAST, owners, policy=UNEXAMINED).close()
    postgres.execute(f"CREATE ROLE {role} LOGIN")
    statements = [line for line in GRANTS.read_text().splitlines() if not line.startswith("--")]
    for statement in " ".join(statements).split(";"):
        if statement.strip():
            postgres.execute(statement.replace(':"role"', role), owners)
    yield owners, owners.replace("tester@", f"{role}@")
    postgres.execute(f"DROP OWNED BY {role}", owners)
    postgres.execute(f"DROP ROLE {role}")


def test_a_role_that_owns_nothing_serves_and_cannot_touch_history(
    served_by_a_role: tuple[str, str], tmp_path: Path, tiny_base: BaseModule, capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = served_by_a_role
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST, url, policy=UNEXAMINED)
    main = MainBranch(forge, tiny_base)
    fold_all(main, [make_branch(tiny_base, seed, task=f"task {seed}", contributor="north") for seed in range(3)])
    invite(forge, "south", "127.0.0.1:1", tmp_path / "kit")
    invite(forge, "south", "127.0.0.1:1", tmp_path / "again")
    forge.ledger.revoke("south")
    tag_commit(forge, "before", "1")
    maintenance.reject(forge, "3", "wrong labels")
    maintenance.withdraw(forge, "2", "patients objected", erase=True)
    main.settle()
    assert [one.state for one in forge.ledger.arrivals()] == [State.FOLDED, State.WITHDRAWN, State.REJECTED]
    assert forge.ledger.erased() == {2}
    forge.close()
    alone = Forge.open(tmp_path / "forge", url, alone=True)
    rotate_key(alone.directory, alone.settings.forge, alone.ledger)
    alone.close()
    again = Forge.open(tmp_path / "forge", url)
    assert set(verified_tags(again)) == {"before"}
    assert again.ledger.unprotected() == []
    again.close()
    engine = create_engine(make_url(url))
    for statement in FORBIDDEN:
        with engine.connect() as connection, pytest.raises(ProgrammingError) as refused:
            connection.execute(text(statement))
        assert report(refused.value, as_json=False) == 2
        assert "Traceback" not in capsys.readouterr().err
    engine.dispose()
