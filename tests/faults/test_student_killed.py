"""A server is killed in the middle of a student's training, and the next one goes on."""

from pathlib import Path

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from tests.faults.checks import POLICY, wait_folded
from tests.programs import Server

STUDENT = choose_settings(method="student", parameters={"steps": 60, "rank": 2, "mixtures": 32})


def admitted(directory: Path, base: BaseModule, arriving: list[Branch]) -> Forge:
    forge = Forge.establish(directory, base, STUDENT, policy=POLICY)
    for branch in arriving:
        forge.admit(branch, base)
    return forge


def test_a_server_killed_while_a_student_trains_goes_on_where_it_was(
    tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, three: list[Branch]
) -> None:
    admitted(tmp_path / "forge", tiny_base, three[:2]).close()
    with Server(tmp_path / "forge", tiny_spec) as server:
        server.up("during student:2").wait_for_fault()
        program = server.up()
        wait_folded(server.at, 2)
        server.stop()
        said = program.said()
    assert "the student goes on from step 50 of 60" in said
    assert "student step 25 of 60" not in said
    assert "student step 60 of 60: loss" in said
    undisturbed = MainBranch(admitted(tmp_path / "undisturbed", tiny_base, three[:2]), tiny_base)
    undisturbed.fold_waiting()
    again = Forge.open(tmp_path / "forge")
    assert [commit.digest for _, commit in again.ledger.commits()] == [commit.digest for commit in undisturbed.log()]
