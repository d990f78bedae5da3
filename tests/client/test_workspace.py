import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.cli import build_app
from medforge.client.begin import begin_work
from medforge.client.records import (
    CandidateRecord,
    DistillationRecord,
    EpochRecord,
    ReceiptRecord,
    TrainingRecord,
)
from medforge.client.settings import make_settings
from medforge.client.workspace import Workspace
from medforge.errors import CorruptFile, InvalidInput

SOURCE = "tissue:lung,test=6,train=12,validation=6"
GIVEN = {"source": SOURCE, "contributor": "St. Elsewhere", "seed": 3}
EPOCH = EpochRecord(epoch=2, train_loss=0.5, loss=0.4, acc=0.9, auc=None)
CANDIDATE = CandidateRecord(step=4, acc=0.8, loss=0.3)
TRAINED = TrainingRecord(task="lung", images=12, epochs=(EPOCH,), best=EPOCH)
DISTILLED = DistillationRecord(candidates=(CANDIDATE,), best=CANDIDATE)


def open_workspace(
    directory: Path,
    given: Mapping[str, object],
    recipe: str | None = None,
    changes: Sequence[str] = (),
    method: str | None = None,
) -> Workspace:
    return begin_work(directory, given, recipe, changes, method, device="cpu").workspace


def bind(workspace: Workspace) -> None:
    """Save some work, so that the settings hold."""
    TRAINED.save(workspace.training / "history.json")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "centre", GIVEN, None, [])


def test_settings_are_kept_with_the_defaults_of_the_rest(workspace: Workspace) -> None:
    settings = Workspace(workspace.path).settings
    assert (settings.source, settings.contributor, settings.seed) == (SOURCE, "St. Elsewhere", 3)
    assert (settings.base, settings.dtype, settings.recipe["name"]) == ("medforge-tiny", "fp32", "tiny")


def test_nobody_is_the_contributor_until_one_is_named(workspace: Workspace, tmp_path: Path) -> None:
    assert open_workspace(tmp_path / "north", {"source": SOURCE}).settings.contributor is None
    bind(workspace)
    assert open_workspace(workspace.path, {"contributor": "Köln"}).settings.contributor == "Köln"


def test_status_has_the_identifier_and_the_name_for_people(workspace: Workspace, tmp_path: Path) -> None:
    def named(contributor: str | None) -> tuple[str | None, str | None]:
        given = {"source": SOURCE} | ({} if contributor is None else {"contributor": contributor})
        status = open_workspace(tmp_path / f"of {contributor}", given).status()
        return status["contributor"], status["display_name"]

    assert named(None) == (None, None)
    assert named("St. Elsewhere") == ("St. Elsewhere", None)
    assert named("Universitätsklinikum Köln") == ("Universitatsklinikum Koln", "Universitätsklinikum Köln")
    workspace.branch.mkdir()
    manifest = {"contributor": "Koln", "display_name": "Köln", "files": {}}
    (workspace.branch / "manifest.json").write_text(json.dumps(manifest))
    status = workspace.status()
    assert (status["contributor"], status["display_name"]) == ("Koln", "Köln")
    said = CliRunner().invoke(build_app(), ["status", "--workspace", str(workspace.path)], catch_exceptions=False)
    assert "contributor  Köln (Koln)\n" in said.stdout


def test_agreeing_options_may_be_repeated_or_left_out(workspace: Workspace) -> None:
    for given in (GIVEN, {}, {"seed": 3}, {"base": "medforge-tiny"}):
        assert open_workspace(workspace.path, given, None, []).settings == workspace.settings
    assert open_workspace(workspace.path, {}, "tiny", []).settings == workspace.settings


@pytest.mark.parametrize(
    ("given", "recipe", "changes", "sentence"),
    [
        ({"seed": 4}, None, [], "was begun with seed 3, not 4; give 3 again, or use another --workspace"),
        ({"source": "folder:y"}, None, [], "was begun with source 'tissue:lung,.*, not 'folder:y'"),
        ({"dtype": "bf16"}, None, [], "was begun with dtype 'fp32', not 'bf16'"),
        ({}, "paper", [], "was begun with another recipe"),
        ({}, None, ["train.lr=0.7"], "was begun with another recipe or other --recipe-set or --epochs options"),
    ],
)
def test_differing_options_are_refused(
    workspace: Workspace, given: dict[str, object], recipe: str | None, changes: list[str], sentence: str
) -> None:
    bind(workspace)
    with pytest.raises(InvalidInput, match=sentence):
        open_workspace(workspace.path, given, recipe, changes)


def test_the_method_comes_with_its_own_settings_and_is_compared(tmp_path: Path) -> None:
    place = tmp_path / "centre"
    begun = open_workspace(place, GIVEN, "paper", ["distill.ipc=3"], "dc-dsa").settings
    assert begun.method == "dc-dsa"
    assert (begun.recipe["distill"]["pixel_lr"], begun.recipe["distill"]["ipc"]) == (0.1, 3)
    assert open_workspace(place, {}, None, [], "dc-dsa").settings == begun
    assert open_workspace(place, {}, "paper", ["distill.ipc=3"], "dc-dsa").settings == begun
    bind(Workspace(place))
    with pytest.raises(InvalidInput, match="was begun with method 'dc-dsa', not 'dm'"):
        open_workspace(place, {}, None, [], "dm")
    with pytest.raises(InvalidInput, match="was begun with another recipe"):
        open_workspace(place, {}, "paper", ["distill.ipc=3"], "dm")


def test_a_new_workspace_needs_a_source(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="say which images it works on"):
        open_workspace(tmp_path, {}, None, [])
    with pytest.raises(InvalidInput, match=r"no workspace in .*; begin one with: medforge train SOURCE --workspace"):
        Workspace(tmp_path).status()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("contributor", "a\nb", r"'a\\nb' cannot be a name; use 1 to 100 characters that can be seen"),
        ("task", "a/b", "--task cannot be 'a/b'; names are ASCII letters"),
        ("task", "", "--task cannot be ''"),
        ("seed", -1, "--seed cannot be -1; input should be greater than or equal to 0"),
    ],
)
def test_settings_that_no_manifest_accepts_are_refused_at_once(name: str, value: object, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        make_settings({"source": "folder:x", "contributor": "c", "recipe": {}, name: value})


def test_stages_are_done_when_their_last_file_is_there(workspace: Workspace) -> None:
    status = workspace.status()
    assert [status[stage] for stage in ("trained", "distilled", "committed", "pushed")] == [None] * 4
    workspace.training.mkdir()
    (workspace.training / "checkpoint.safetensors").write_bytes(b"half way")
    assert workspace.trained is None
    TRAINED.save(workspace.training / "history.json")
    DISTILLED.save(workspace.distillation / "history.json")
    workspace.branch.mkdir()
    (workspace.branch / "manifest.json").write_text('{"files": {}}')
    receipt = {"forge": "f", "arrival": 1, "branch": "b", "accepted_at": "2026-01-01T00:00:00Z", "key": "k"}
    ReceiptRecord.model_validate(receipt).save(workspace.receipt_file)
    status = json.loads(json.dumps(workspace.status()))
    assert (status["trained"]["acc"], status["distilled"]["acc"]) == (0.9, 0.8)
    # of the forge's first epoch
    assert status["pushed"] == receipt | {"epoch": ""}
    assert len(status["committed"]) == 64


def test_only_one_process_works_in_a_workspace(workspace: Workspace) -> None:
    with (
        workspace.locked(),
        pytest.raises(InvalidInput, match="another process is working in"),
        Workspace(workspace.path).locked(),
    ):
        pass
    with Workspace(workspace.path).locked():
        pass


def test_damaged_files_are_named(workspace: Workspace) -> None:
    workspace.training.mkdir()
    (workspace.training / "history.json").write_text("[1, 2")
    with pytest.raises(CorruptFile, match=r"history\.json cannot be read; delete it and run the same command again"):
        workspace.status()
    workspace.settings_file.write_text("{}")
    with pytest.raises(CorruptFile, match=r"settings\.json cannot be read; restore it or begin another workspace"):
        workspace.status()


def test_a_file_where_the_workspace_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"cannot be written .*choose another --workspace"):
        open_workspace(tmp_path / "file" / "centre", {"source": SOURCE, "contributor": "c"})


@pytest.mark.parametrize("text", ['{"files": {"a": 1}}', "{}", '{"files": [1]}'])
def test_a_manifest_that_is_none_is_said(workspace: Workspace, text: str) -> None:
    workspace.branch.mkdir()
    (workspace.branch / "manifest.json").write_text(text)
    with pytest.raises(CorruptFile, match="is not a branch's manifest; delete .* and commit again"):
        _ = workspace.committed_files
