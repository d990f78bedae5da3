"""The doctor's look at a task: what the workspace works on against what the forge declares."""

from pathlib import Path

import pytest

from medforge.base_module import BaseModule
from medforge.client.doctor.task import check_task
from medforge.client.recipes import recipe_for
from medforge.client.settings import make_settings
from medforge.client.workspace import Workspace
from medforge.declared_task import DeclaredTask
from medforge.proto import forge_pb2 as pb
from medforge.proto.codec import task_to_message
from medforge.proto.signed_task import SignedTask
from medforge.proto.signing import new_key, public_bytes
from tests.making import make_branch

FORGE = "3f8e3f0c-8f0a-4a3d-9a57-6a5f2b1f9d11"
KEY = new_key()
LUNG = DeclaredTask.make("lung", [("benign", "benign lung"), ("malignant", "malignant lung")])


def reply(*tasks: DeclaredTask, open_tasks: bool = False) -> pb.DescribeReply:
    messages = [task_to_message(SignedTask.issue(KEY, FORGE, task)) for task in tasks]
    return pb.DescribeReply(forge=FORGE, key=public_bytes(KEY), tasks=messages, open_tasks=open_tasks)


def workspace(path: Path, **settings: object) -> Path:
    recipe = recipe_for("tiny").model_dump(mode="json")
    Workspace(path).create(make_settings({"source": "folder:x", "recipe": recipe, **settings}))
    return path


def found(answer: pb.DescribeReply | None, place: Path | None) -> tuple[str, str]:
    one = check_task(answer, None, place)
    assert bool(one.fix) == (one.state in ("problem", "warning"))
    return one.state, one.what


def test_without_a_workspace_or_an_answer_there_is_nothing_to_see(tmp_path: Path) -> None:
    assert found(None, workspace(tmp_path / "w")) == ("skipped", "the forge could not be asked")
    assert found(reply(), None) == ("skipped", "no workspace was given")
    assert found(reply(), tmp_path / "none")[0] == "problem"
    said = "the workspace names none yet; the branch will bear the source's"
    assert found(reply(), tmp_path / "w") == ("skipped", said)


def test_a_workspace_of_a_declared_task(tmp_path: Path) -> None:
    place = workspace(tmp_path / "w", task="lung", declared=LUNG)
    assert found(reply(LUNG), place) == ("ok", "lung, with 2 classes, as the forge declares it")
    other = DeclaredTask.make("lung", [("benign", "benign lung"), ("other", "other lung")])
    said = "the forge's task lung has no class with the prompt 'malignant lung' any more"
    assert found(reply(other), place) == ("problem", said)


def test_a_workspace_with_its_sources_own_classes(tmp_path: Path) -> None:
    place = workspace(tmp_path / "w", task="lung")
    assert found(reply(LUNG), place)[0] == "warning"
    said = "the forge does not declare task lung, so a branch of it waits there"
    assert found(reply(), place) == ("warning", said)
    assert found(reply(open_tasks=True), place) == ("ok", "the first branch declares task lung at this forge")


def test_a_branch_is_compared_class_by_class(tmp_path: Path, tiny_base: BaseModule) -> None:
    place = workspace(tmp_path / "w")
    make_branch(tiny_base, task="lung").save(place / "branch")
    assert found(reply(LUNG), place) == ("ok", "the branch answers the forge's task lung")
    other = DeclaredTask.make("lung", [("benign", "benign lung"), ("other", "other lung")])
    assert found(reply(other), place) == ("problem", "task 'lung' has no class with the prompt 'malignant lung'")
    assert found(reply(other, open_tasks=True), place)[0] == "ok"


def test_a_task_that_another_signed_is_not_believed(tmp_path: Path) -> None:
    message = task_to_message(SignedTask.issue(new_key(), FORGE, LUNG))
    answer = pb.DescribeReply(forge=FORGE, key=public_bytes(KEY), tasks=[message])
    state, said = found(answer, workspace(tmp_path / "w", task="lung"))
    assert state == "problem"
    assert said.startswith("task 'lung' is not signed by the forge's key")


@pytest.mark.parametrize("name", ["settings.json", "branch/manifest.json"])
def test_what_cannot_be_read_is_a_problem(tmp_path: Path, name: str) -> None:
    place = workspace(tmp_path / "w", task="lung")
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text("{")
    assert found(reply(LUNG), place)[0] == "problem"
