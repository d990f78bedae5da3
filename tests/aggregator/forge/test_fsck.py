"""What can go wrong on a forge's disk, each noticed by fsck, replay, or both."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.identity.kept import check_authority
from medforge.aggregator.ledger.journal import MAINTAINER
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Contributor
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.replay import replay
from medforge.base_module import BaseModule
from medforge.errors import MedForgeError
from medforge.proto.signing import SUBMIT, new_key, public_bytes, sign
from medforge.proto.statements import submit_statement
from tests.aggregator.altering import alter
from tests.aggregator.forges import branches, fold_all, open_main, settings_of


@pytest.fixture
def main(tmp_path: Path, tiny_base: BaseModule, ledger_url: str) -> MainBranch:
    made = open_main(tmp_path / "forge", tiny_base, settings_of("fusion", "layer", "sequential"), ledger_url)
    fold_all(made, branches(tiny_base, 3))
    return made


def problems(main: MainBranch) -> list[str]:
    return [problem for check in check_forge(main.forge) for problem in check.problems]


def test_a_sound_forge_has_no_problem_and_replays(main: MainBranch, tiny_base: BaseModule) -> None:
    checks = list(check_forge(main.forge))
    assert [check.problems for check in checks] == [()] * 14
    counted = {check.name: check.count for check in checks}
    assert counted["the chain of commits is whole"] == 3
    assert counted["tasks are declared as the journal says"] == 3
    assert counted["the chain of the journal is whole"] == 9
    assert counted["blobs have the digests they are named by"] > 10
    assert [one.outcome for one in replay(main.forge, tiny_base)] == ["identical"] * 3


def test_an_altered_blob_is_found(main: MainBranch) -> None:
    head = main.head()
    assert head is not None
    path = main.forge.blobs.path(next(iter(head.item_files.values())))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert problems(main) == [f"blob {path.name} has been altered where it is kept; restore it from a backup"]


def test_a_lost_blob_is_found(main: MainBranch) -> None:
    digest = next(iter(main.forge.manifest(2).files.values())).digest
    main.forge.blobs.path(digest).unlink()
    assert problems(main) == [f"blob {digest} is needed and not there; restore it from a backup"]


def test_a_forge_item_that_is_not_what_the_branches_give_is_found(main: MainBranch, tiny_base: BaseModule) -> None:
    """Somebody swaps the merged model for another sound one, and forges the whole chain after it."""
    commits = main.log()
    swapped = commits[1].model_copy(update={"item": commits[0].item, "item_files": commits[0].item_files})
    last = commits[2].model_copy(update={"parent": swapped.digest})
    statement = "UPDATE commits SET digest = :digest, content = :content WHERE number = :number"
    for number, commit in ((2, swapped), (3, last)):
        alter(main.forge.ledger, statement, digest=commit.digest, content=commit.content, number=number)
    assert problems(main) == []
    found = list(replay(main.forge, tiny_base))
    assert [one.outcome for one in found] == ["identical", "different", "identical"]
    assert "differ" in found[1].detail


def test_a_commit_that_was_taken_out_is_found(main: MainBranch) -> None:
    alter(main.forge.ledger, "DELETE FROM commits WHERE number = 2")
    assert any("does not follow the one before" in problem for problem in problems(main))


def test_an_altered_journal_is_found(main: MainBranch) -> None:
    alter(main.forge.ledger, "UPDATE journal SET actor = 'somebody else' WHERE number = 2")
    assert problems(main) == ["entry 2 of the journal was altered; restore the ledger"]


def test_an_arrival_that_was_rewritten_is_found(main: MainBranch) -> None:
    alter(main.forge.ledger, "UPDATE arrivals SET contributor = 'somebody else' WHERE number = 2")
    assert problems(main) == ["arrival 2 is not what its manifest says; restore the ledger from a backup"]


def test_a_state_that_the_head_does_not_show_is_found(main: MainBranch) -> None:
    alter(main.forge.ledger, "UPDATE arrivals SET state = 'held' WHERE number = 2")
    assert problems(main) == ["arrival 2 is to leave the main branch; serve the forge"]


def test_a_signature_that_no_invited_key_made_is_found(main: MainBranch, tiny_base: BaseModule) -> None:
    ledger, digest = main.forge.ledger, main.log()[1].branch
    old, renewed = new_key(), new_key()
    for key in (old, renewed):
        ledger.invite(Contributor("centre 1", public_bytes(key), "0" * 64, "2026-01-01T00:00:00.000Z"))
    signature = sign(old, SUBMIT, submit_statement(main.forge.settings.forge, digest))
    signed = "UPDATE arrivals SET signature = :signature WHERE number = 2"
    alter(ledger, signed, signature=signature)
    assert problems(main) == []
    alter(ledger, signed, signature=bytes(64))
    assert problems(main) == ["arrival 2 is signed by no key that centre 1 ever had; restore the ledger from a backup"]


def test_the_database_itself_refuses_to_change_what_was_written(main: MainBranch) -> None:
    for table in ("commits", "journal", "tasks"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET number = number + 100"):
            with (
                pytest.raises(SQLAlchemyError, match=f"{table} is append-only"),
                main.forge.ledger.writing() as session,
            ):
                session.execute(text(statement))


def test_the_journal_says_what_happened(main: MainBranch) -> None:
    main.forge.ledger.change(2, main.forge.ledger.arrivals()[1].state.__class__.REJECTED, "why", MAINTAINER)
    main.settle()
    folded = ("forge", "committed fold")
    said = [(entry.actor, entry.what) for entry in main.forge.ledger.journal()]
    assert said == [
        *(entry for n in range(3) for entry in ((f"centre {n}", "arrived"), ("forge", "declared"), folded)),
        ("maintainer", "rejected"),
        ("forge", "committed remove"),
    ]


def test_two_processes_write_one_journal_in_turn(main: MainBranch) -> None:
    other = Ledger(main.forge.ledger.url)
    for number in range(20):
        (other if number % 2 else main.forge.ledger).enter("somebody", "said", {"number": number})
    assert problems(main) == []
    assert len(other.journal()) == 29


def test_a_dropped_trigger_is_found_and_made_again(main: MainBranch, tiny_base: BaseModule, ledger_url: str) -> None:
    where = " ON journal" if ledger_url.startswith("postgresql") else ""
    with main.forge.ledger.writing() as session:
        session.execute(text(f"DROP TRIGGER journal_no_update{where}"))
    (problem,) = problems(main)
    assert "lacks 1 triggers that keep rows from being changed, such as journal_no_update" in problem
    main.forge.close()
    again = open_main(main.forge.directory, tiny_base, main.forge.settings.method, ledger_url)
    assert problems(again) == []


CELLS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(max_size=40), st.text(max_size=40),
    st.sampled_from(["{}", "[]", "null", '{"contributor": 1}', '{"task": []}', "folded", "f" * 64, "[" * 5000]),
)  # fmt: skip
COLUMNS = {
    "journal": ["at", "actor", "what", "about", "digest"],
    "arrivals": ["branch", "contributor", "task", "size", "accepted_at", "state", "reason", "signature", "erased"],
    "commits": ["digest", "content"],
    "tasks": ["name", "digest", "content", "arrival"],
    "contributors": ["name", "key", "certificate", "revoked_at"],
    "facts": ["value"],
}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_of_any_shape_is_found_in_a_sentence(signed: Path, data: st.DataObject) -> None:
    """Whatever stands in a cell of the ledger, fsck ends with sentences, and names a problem where anything changed."""
    kept = (signed / "ledger.sqlite").read_bytes()
    table = data.draw(st.sampled_from(sorted(COLUMNS)))
    column, cell = data.draw(st.sampled_from(COLUMNS[table])), data.draw(CELLS)
    what = data.draw(st.sampled_from(["declared", "invited", "arrived", "tagged", "reviewed", "rotated key"]))
    raw = sqlite3.connect(signed / "ledger.sqlite")
    for name in ("commits", "journal", "tasks"):
        raw.execute(f"DROP TRIGGER IF EXISTS {name}_no_update")
    if table == "journal":
        raw.execute("UPDATE journal SET what = ?", (what,))
    with contextlib.suppress(sqlite3.IntegrityError):
        raw.execute(f"UPDATE {table} SET {column} = ?", (cell,))
    raw.commit()
    raw.close()
    try:
        forge = Forge.open(signed)
    except MedForgeError as error:
        forge, said = None, str(error)
    if forge is None:
        assert "; " in said
    else:
        found = [problem for check in [*check_forge(forge), check_authority(forge)] for problem in check.problems]
        forge.close()
        assert any("lacks" in one for one in found), "the triggers are gone"
        assert all(one and "\n" not in one for one in found)
    for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
        (signed / name).unlink(missing_ok=True)
    (signed / "ledger.sqlite").write_bytes(kept)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Path:
    """A forge with a row in every table."""
    place = tmp_path_factory.mktemp("signed")
    made = open_main(place / "forge", tiny_base, settings_of("fusion", "layer", "sequential"))
    fold_all(made, branches(tiny_base, 1))
    invite(made.forge, "centre 0", "localhost:1", place / "kit")
    made.forge.close()
    with sqlite3.connect(place / "forge" / "ledger.sqlite") as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return place / "forge"
