"""`medforge task add`, `list` and `show`, typed on a forge that is being served, and what follows from them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.base_module import BaseModule
from medforge.cli.failures import USER_MISTAKE
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.remote import RemoteForge
from medforge.proto.signed_task import SignedTask
from tests.aggregator.cli.test_maintain import members, typed, wait
from tests.aggregator.forges import branches, open_main, settings_of
from tests.aggregator.serving import Served, serving, upload
from tests.making import make_branch

CSV = "key,prompt\nb,benign task 0\nm,malignant task 0\n"


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule, tiny_spec: str
) -> Iterator[tuple[Path, str]]:
    """A served forge whose maintainer declares the tasks, to which three branches of three tasks were pushed."""
    directory = tmp_path_factory.mktemp("declared")
    process = Served(directory / "forge", tiny_spec, "127.0.0.1:0", "--declared-tasks")
    try:
        at = process.wait_ready()
        with RemoteForge(Connection(at)) as remote:
            for number, branch in enumerate(branches(tiny_base), start=1):
                upload(remote, branch, directory / str(number))
                assert remote.submit(branch.manifest.to_bytes()).arrival == number
        wait(lambda: states(directory / "forge") == [State.HELD] * 3)
        yield directory / "forge", at
    finally:
        process.stop()


def states(directory: Path) -> list[State]:
    forge = Forge.open(directory)
    try:
        return [one.state for one in forge.ledger.arrivals()]
    finally:
        forge.close()


def test_a_task_is_declared_while_the_forge_is_served_and_who_waited_is_folded(
    served: tuple[Path, str], tmp_path: Path
) -> None:
    directory, at = served
    assert "no task is declared yet; `medforge task add` declares one" in typed("task", "list", "--forge", directory)
    held = json.loads(typed("log", "--at", at, "--held", "--json"))["outside"]
    assert [one["reason"] for one in held] == [
        f"task 'task {n}' is not declared; the maintainer declares it with "
        f"`medforge task add 'task {n}' --like {n + 1} --modality MODALITY --forge DIR`"
        for n in range(3)
    ]
    (tmp_path / "classes.csv").write_text(CSV)
    told = json.loads(
        typed("task", "add", "task 0", "--classes", tmp_path / "classes.csv", "--modality", "CT", "--forge", directory,
              "--json")
    )  # fmt: skip
    assert (told["released"], told["declared_by"], told["arrival"], told["modality"]) == (1, "maintainer", None, "CT")
    wait(lambda: members(directory) == (1,))
    said = typed("task", "add", "task 2", "--like", "3", "--modality", "MRI", "--forge", directory)
    assert "task 2 is declared with 2 classes; 1 arrival that waited for it is released" in said
    wait(lambda: members(directory) == (1, 3))
    listed = json.loads(typed("task", "list", "--forge", directory, "--json"))
    assert listed["open"] is False
    assert [(one["name"], [c["key"] for c in one["classes"]]) for one in listed["tasks"]] == [
        ("task 0", ["b", "m"]),
        ("task 2", ["benign-task-2", "malignant-task-2"]),
    ]
    assert "task 0  CT  2 classes: b, m  by the maintainer on" in " ".join(
        typed("task", "list", "--forge", directory).split("\n    ")
    )
    shown = typed("task", "show", "task 0", "--forge", directory)
    assert "task 0 (CT), by the maintainer on" in shown
    assert "b      benign task 0" in shown
    assert "maintainer: declared" in typed("log", "--forge", directory, "--journal")
    assert "BAD" not in typed("fsck", "--forge", directory)
    rebuilt = json.loads(typed("replay", "--forge", directory, "--json"))
    assert {row["outcome"] for row in rebuilt["commits"]} == {"identical"}
    assert "is withdrawn" in typed("withdraw", "3", "--forge", directory)
    wait(lambda: members(directory) == (1,))
    with RemoteForge(Connection(at)) as remote:
        assert list(remote.tasks()) == ["task 0", "task 2"]


def test_what_cannot_be_declared_gets_one_sentence(served: tuple[Path, str], tmp_path: Path) -> None:
    directory, _ = served
    path = tmp_path / "classes"

    def refused(content: str, *words: object, name: str = "new") -> str:
        path.write_text(content)
        before = states(directory)
        said = typed("task", "add", name, "--classes", path, "--forge", directory, *words, code=USER_MISTAKE)
        assert states(directory) == before
        assert "\n" not in said
        return said

    assert "a name has 1 to 100 ASCII letters" in refused("a: one\nb: two", name="no/name")
    assert "'new' would have 1 classes; give it at least 2" in refused("a: one")
    assert "two of its classes have the key 'a'" in refused("a: one\nA: two")
    assert "two of its classes have the prompt 'one thing'" in refused("a: one thing\nb: One\u200b  thing")
    long = "word " * 30
    assert f"'{long}one' and '{long}two' of task 'new' are the same to the base module; word them differently" in (
        refused(f"a: {long}one\nb: {long}two")
    )
    assert "has no colon; write a CSV with the columns key,prompt" in refused("one")
    assert "limits.prompt_length" in refused(f"a: {'x' * 500}\nb: two")
    many = "".join(f"k{n}: prompt {n}\n" for n in range(300))
    assert "has 300 classes where this forge admits 200" in refused(many)
    assert "give either --classes FILE or --like BRANCH" in refused("a: one\nb: two", "--like", "1")
    said = typed("task", "add", "new", "--forge", directory, code=USER_MISTAKE)
    assert said == "the classes are not given, or twice; give either --classes FILE or --like BRANCH"
    assert "no arrival is called '77'" in typed("task", "add", "n", "--like", "77", "--forge", directory, code=2)
    assert "is not declared; `medforge task list` lists" in typed("task", "show", "n", "--forge", directory, code=2)
    assert "is not a forge" in typed("task", "list", "--forge", tmp_path, code=USER_MISTAKE)


def test_a_name_or_a_prompt_is_declared_once(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path / "forge", tiny_base, settings_of("fusion", "layer", "sequential"))
    main.fold(main.forge.admit(make_branch(tiny_base, task="lung"), tiny_base).number)
    main.forge.close()
    path = tmp_path / "prompts.txt"
    path.write_text("b: Benign  LUNG\nm: something else\n")
    here = ("--classes", path, "--forge", tmp_path / "forge")
    assert "task 'lung' is declared already, by arrival 1 on" in typed("task", "add", "lung", *here, code=2)
    assert "there is a task 'lung' already; choose another name" in typed("task", "add", "Lung", *here, code=2)
    assert "of tasks 'lung' and 'chest' read the same" in typed("task", "add", "chest", *here, code=2)
    assert "by arrival 1 on" in typed("task", "list", "--forge", tmp_path / "forge")


def test_what_show_writes_can_be_declared_elsewhere(tmp_path: Path, tiny_base: BaseModule) -> None:
    for name in ("one", "two"):
        open_main(tmp_path / name, tiny_base, settings_of("fusion", "layer", "sequential")).forge.close()
    (tmp_path / "prompts.txt").write_text("b: benign lung\nm: malignant lung\n")
    typed("task", "add", "lung", "--classes", tmp_path / "prompts.txt", "--forge", tmp_path / "one")
    written = tmp_path / "lung.json"
    written.write_text(typed("task", "show", "lung", "--forge", tmp_path / "one", "--json"))
    signed = SignedTask.load(written)
    typed("task", "add", "lung", "--classes", written, "--forge", tmp_path / "two")
    forge = Forge.open(tmp_path / "two")
    assert TaskTable(forge.ledger).declarations()["lung"].task == signed.task
    assert forge.settings.forge != signed.forge
    forge.close()


def test_describe_tells_the_tasks_signed_and_a_kit_knows_whose_signature_counts(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    directory = tmp_path / "forge"
    with serving(directory, tiny_base, tls=True) as (forge, at):
        kit = invite(forge, "clinic", at, tmp_path / "kit")
        (tmp_path / "prompts.txt").write_text("b: benign lung\nm: malignant lung\n")
        typed("task", "add", "lung", "--classes", tmp_path / "prompts.txt", "--forge", directory)
        with RemoteForge(Connection(at, kit)) as remote:
            reply = remote.describe()
            assert reply.open_tasks
            signed = remote.tasks(reply)["lung"]
            assert bytes.fromhex(signed.key) == kit.forge_key
            assert signed.task.prompts == ("benign lung", "malignant lung")
            altered = type(reply).FromString(reply.SerializeToString())
            altered.tasks[0].content = altered.tasks[0].content.replace(b"malignant", b"scorching")
            with pytest.raises(NotAllowed, match="task 'lung' is not signed by the forge's key"):
                remote.tasks(altered)


def test_opening_the_tasks_releases_who_waited(tmp_path: Path, tiny_base: BaseModule, tiny_spec: str) -> None:
    directory = tmp_path / "forge"
    process = Served(directory, tiny_spec, "127.0.0.1:0", "--declared-tasks")
    (branch,) = branches(tiny_base, 1)
    try:
        with RemoteForge(Connection(process.wait_ready())) as remote:
            upload(remote, branch, tmp_path / "branch")
            remote.submit(branch.manifest.to_bytes())
        wait(lambda: states(directory) == [State.HELD])
    finally:
        process.stop()
    process = Served(directory, tiny_spec, "127.0.0.1:0", "--open-tasks")
    try:
        process.wait_ready()
        wait(lambda: states(directory) == [State.FOLDED])
    finally:
        process.stop()
    assert "by arrival 1 on" in typed("task", "list", "--forge", directory)


def test_declaring_is_no_traceback_where_a_checkpoint_is_gone(tmp_path: Path, other_base: BaseModule) -> None:
    open_main(tmp_path / "forge", other_base, settings_of("fusion", "layer", "sequential")).forge.close()
    settings = json.loads((tmp_path / "forge" / "forge.json").read_text())
    (tmp_path / "forge" / "forge.json").write_text(json.dumps(settings | {"base_spec": "ViT-B-32:/nowhere/at/all.pt"}))
    (tmp_path / "prompts.txt").write_text("b: benign lung\nm: malignant lung\n")
    said = typed(
        "task", "add", "lung", "--classes", tmp_path / "prompts.txt", "--forge", tmp_path / "forge", code=USER_MISTAKE
    )
    assert "checkpoint /nowhere/at/all.pt does not exist" in said
