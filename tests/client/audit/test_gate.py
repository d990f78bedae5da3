"""The egress gate from the outside: what is audited, shown and let out of a real workspace."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from medforge import progress
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.cli import build_app
from medforge.client.audit.policy import SitePolicy
from medforge.client.audit.record import AuditRecord
from medforge.client.audit.run import audit, hashed
from medforge.client.audit.verdict import judge
from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.task import Split, Task
from medforge.client.doctor.centre import check_privacy
from medforge.client.egress_gate import EgressRefused
from medforge.client.embeddings import embed_task
from medforge.client.train import train
from medforge.client.work import Work
from medforge.client.workspace import Workspace
from medforge.distilled import DistilledDataset
from medforge.errors import CorruptFile, ForgeUnavailable, InvalidInput
from medforge.files import open_to_others
from tests.aggregator.serving import serving
from tests.client.tasks import PROMPTS, TRAIN, make_pixels, make_task, write_folder
from tests.client.test_cli import options
from tests.making import make_plugin

AWAY = ("--at", "127.0.0.1:1", "--patience", 0)


def run(*arguments: object, code: int = 0) -> str:
    """Run a command in this process; its mistakes come out as exceptions."""
    threads = torch.get_num_threads()
    try:
        result = CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
    finally:
        torch.set_num_threads(threads)
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_spec: str) -> Path:
    """A workspace with a plugin and honest distilled images, before the commit."""
    place = tmp_path_factory.mktemp("work") / "centre"
    source = f"folder:{write_folder(tmp_path_factory.mktemp('images') / 'shades', train=60)}"
    run("train", source, "--workspace", place, "--base", tiny_spec, "--threads", 1, *options())
    run("distill", "--workspace", place, "--threads", 1)
    return place


@pytest.fixture
def honest(made: Path, tmp_path: Path) -> Workspace:
    """A workspace with a committed branch."""
    shutil.copytree(made, tmp_path / "centre")
    run("commit", "--workspace", tmp_path / "centre")
    return Workspace(tmp_path / "centre")


def leak(workspace: Workspace, noise: float = 0.0, how_many: int = 4) -> None:
    """Put real training images in the place of distilled ones, and commit them."""
    work = Work(workspace)
    learned = DistilledDataset.load(workspace.distilled_file)
    real = work.task.train.images[:].float()
    random = torch.Generator().manual_seed(1)
    seen = (real + 255 * noise * torch.randn(real.shape, generator=random)).clamp(0, 255).to(torch.uint8)
    images = learned.images.clone()
    images[:how_many] = work.base.normalise(seen[torch.arange(how_many) * 5]).to(torch.float16)
    replace(learned, images=images).save(workspace.distilled_file)
    shutil.rmtree(workspace.branch, ignore_errors=True)
    run("commit", "--workspace", workspace.path)


@pytest.fixture
def leaked(made: Path, tmp_path: Path) -> Workspace:
    """A workspace whose committed branch holds four training images, slightly noised."""
    shutil.copytree(made, tmp_path / "leaked")
    leak(Workspace(tmp_path / "leaked"), noise=0.02)
    return Workspace(tmp_path / "leaked")


def test_nothing_leaves_that_was_not_audited(honest: Workspace) -> None:
    with pytest.raises(
        EgressRefused, match=f"was not audited as it is now; run: medforge audit --workspace {honest.path}"
    ):
        run("push", "--workspace", honest.path, *AWAY)
    with pytest.raises(EgressRefused, match="not audited"):
        run("push", "--workspace", honest.path, "--override", "Dr. Who", *AWAY)
    assert not honest.audit_file.exists()


def test_an_honest_branch_passes_and_goes_out(honest: Workspace) -> None:
    out = run("audit", "--workspace", honest.path)
    assert "passed       0 of 4 distilled images are near copies of a real one (at most 0 may be)" in out
    assert "audited: passed (report, for the site only:" in out
    assert run("status", "--workspace", honest.path).count("audited      yes, passed") == 1
    with pytest.raises(ForgeUnavailable):  # it got as far as the door of the forge
        run("push", "--workspace", honest.path, "--override", "nobody needs to", *AWAY)
    assert AuditRecord.load(honest.audit_file).overrides == ()  # type: ignore[union-attr]


def test_leaked_images_stay_in_the_house(leaked: Workspace) -> None:
    out = run("audit", "--workspace", leaked.path, code=1)
    assert "FAILED       4 of 4 distilled images are near copies of a real one" in out
    with pytest.raises(EgressRefused) as caught:
        run("push", "--workspace", leaked.path, *AWAY)
    assert re.search(r"stays here: 4 of 4 distilled images are near copies of a real one", str(caught.value))
    assert str(leaked.audit_report) in str(caught.value)
    assert "--override NAME" in str(caught.value)
    assert "over the limits: 4 of 4" in run("status", "--workspace", leaked.path)


def test_one_leaked_image_among_honest_ones_is_enough(honest: Workspace) -> None:
    leak(honest, how_many=1)
    assert "FAILED       1 of 4 distilled images is a near copy" in run("audit", "--workspace", honest.path, code=1)
    with pytest.raises(EgressRefused, match="1 of 4"):
        run("push", "--workspace", honest.path, *AWAY)


def test_an_override_lets_it_out_and_is_recorded(leaked: Workspace, tmp_path: Path, tiny_base: BaseModule) -> None:
    run("audit", "--workspace", leaked.path, code=1)
    with serving(tmp_path / "forge", tiny_base) as (forge, at):
        run("push", "--workspace", leaked.path, "--at", at, "--override", "Data Protection Officer")
        assert [entry.number for entry in forge.ledger.arrivals()] == [1]
        leaked.receipt_file.unlink()
        run("push", "--workspace", leaked.path, "--at", at)  # it holds for the same bytes
    record = AuditRecord.load(leaked.audit_file)
    assert record is not None
    (override,) = record.overrides
    assert override.name == "Data Protection Officer"
    assert override.files == leaked.committed_files
    assert override.why == record.failed
    assert "4 of 4 distilled images are near copies" in override.why[0]
    assert override.at.tzinfo is not None
    assert "let pass by Data Protection Officer: 4 of 4" in run("status", "--workspace", leaked.path)


def test_an_override_does_not_hold_for_other_bytes(leaked: Workspace) -> None:
    run("audit", "--workspace", leaked.path, code=1)
    with pytest.raises(ForgeUnavailable):
        run("push", "--workspace", leaked.path, "--override", "DPO", *AWAY)
    leak(leaked, noise=0.01)
    with pytest.raises(EgressRefused, match="not audited as it is now"):
        run("push", "--workspace", leaked.path, *AWAY)
    run("audit", "--workspace", leaked.path, code=1)
    with pytest.raises(EgressRefused, match="stays here"):
        run("push", "--workspace", leaked.path, *AWAY)
    record = AuditRecord.load(leaked.audit_file)
    assert record is not None
    assert [one.name for one in record.overrides] == ["DPO"]  # what was once let pass stays on record


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 101])
def test_an_override_needs_a_name(leaked: Workspace, name: str) -> None:
    run("audit", "--workspace", leaked.path, code=1)
    with pytest.raises(InvalidInput, match="an override needs a name"):
        run("push", "--workspace", leaked.path, "--override", name, *AWAY)


def test_an_audit_of_other_bytes_does_not_count(honest: Workspace) -> None:
    run("audit", "--workspace", honest.path)
    leak(honest)
    assert honest.audited is None
    assert json.loads(run("status", "--workspace", honest.path, "--json"))["audited"] is None
    with pytest.raises(EgressRefused, match="not audited as it is now"):
        run("push", "--workspace", honest.path, *AWAY)


def test_a_branch_whose_bytes_changed_after_its_audit_does_not_go_out(leaked: Workspace, honest: Workspace) -> None:
    """The manifest still says what was audited, so the gate opens, and the digests stop it."""
    run("audit", "--workspace", honest.path)
    shutil.copy(leaked.branch / "distilled.safetensors", honest.branch / "distilled.safetensors")
    with pytest.raises(CorruptFile, match="distilled.safetensors is not what the manifest says"):
        run("push", "--workspace", honest.path, *AWAY)


def test_contribute_audits_before_it_pushes(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "c")
    place = Workspace(tmp_path / "c")
    leak(place)
    with pytest.raises(EgressRefused, match="stays here: 4 of 4"):
        run("contribute", "--workspace", place.path, *AWAY)
    assert place.audit_report.exists()
    with pytest.raises(ForgeUnavailable):
        run("contribute", "--workspace", place.path, "--override", "DPO", *AWAY)
    assert "let pass by DPO" in run("status", "--workspace", place.path)
    # to stop after the audit is to end as the audit does
    said = run("contribute", "--workspace", place.path, "--no-push", code=1)
    run("contribute", "--workspace", place.path, "--no-push", "--override", "Dr Frei")
    assert "audited: over the site's limits: 4 of 4" in said


def test_the_site_sets_the_limits(leaked: Workspace, tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text("near_copies = 4\ndistilled_auc = 1.0\nplugin_auc = 1.0\n")
    run("audit", "--workspace", leaked.path, "--site", site)
    with pytest.raises(ForgeUnavailable):
        run("push", "--workspace", leaked.path, *AWAY)
    run("contribute", "--workspace", leaked.path, "--no-push")  # an audit by the site's own limits stands
    assert leaked.audited is not None
    assert leaked.audited.policy.near_copies == 4
    run("audit", "--workspace", leaked.path, code=1)  # without the file the built-in limits judge
    site.write_text("near_copy = 4\n")
    with pytest.raises(InvalidInput, match="unknown key 'near_copy'"):
        run("audit", "--workspace", leaked.path, "--site", site)
    with pytest.raises(InvalidInput, match="unknown key 'near_copy'"):
        run("contribute", "--workspace", leaked.path, "--no-push", "--site", site)


def test_nobody_else_on_the_machine_can_read_a_workspace(made: Path, tmp_path: Path) -> None:
    """Whatever the umask says: the pages show patients' images."""
    place, before = tmp_path / "new" / "centre", os.umask(0)
    try:
        source = f"folder:{write_folder(tmp_path / 'shades')}"
        run("contribute", source, "--workspace", place, "--no-push", *options(), code=1)
        assert list(open_to_others(place.parent)) == []
        assert check_privacy(place).state == "ok"
    finally:
        os.umask(before)
    (place / "audit" / "report.html").chmod(0o644)
    found = check_privacy(place)
    assert (found.state, found.fix) == ("warning", f"chmod -R go= {place}, on a file system that keeps permissions")
    assert "can read 1 files or folders of the workspace, such as" in found.what


def test_there_must_be_a_branch_to_audit(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "c")
    with pytest.raises(InvalidInput, match="nothing to audit yet; run: medforge commit"):
        run("audit", "--workspace", tmp_path / "c")
    with pytest.raises(InvalidInput, match="there is no workspace in nowhere"):
        run("audit", "--workspace", "nowhere")


def test_each_phase_of_an_audit_is_named(honest: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE", -1.0)  # as if every step took long
    command = ["audit", "--workspace", str(honest.path)]
    said = CliRunner().invoke(build_app(), command, catch_exceptions=False).stderr
    steps = list(dict.fromkeys(re.findall(r"^(\w+ \d+/\d+)", said, re.MULTILINE)))
    phases = list(dict.fromkeys(step.split()[0] for step in steps))
    assert phases == ["auditing", "comparing", "attacking"]
    assert {"auditing 60/60", "comparing 2/2", "attacking 1/1"} <= set(steps)


def test_a_record_that_cannot_be_read_is_said(honest: Workspace) -> None:
    run("audit", "--workspace", honest.path)
    honest.audit_file.write_text('{"format": 1}')
    with pytest.raises(CorruptFile, match="audit.json cannot be read; delete it and audit again"):
        run("push", "--workspace", honest.path, *AWAY)


def test_auditing_again_does_nothing_again_and_a_lost_report_is_written_anew(honest: Workspace) -> None:
    run("audit", "--workspace", honest.path)
    first, page = honest.audit_file.read_bytes(), honest.audit_report.read_bytes()
    run("audit", "--workspace", honest.path)
    assert honest.audit_file.read_bytes() == first
    honest.audit_report.unlink()
    run("audit", "--workspace", honest.path)
    assert honest.audit_report.exists()
    one, two = AuditRecord.model_validate_json(first), AuditRecord.load(honest.audit_file)
    assert two is not None
    assert two.measured == one.measured  # the same images and seed give the same figures
    assert len(honest.audit_report.read_bytes()) == len(page)


def test_an_audit_without_a_page_says_how_to_have_one(leaked: Workspace) -> None:
    command = ["contribute", "--workspace", leaked.path, "--no-push", "--no-report", "--override", "Test"]
    for _ in range(2):
        said = run(*command)
        assert f"(report, for the site only: none; run: medforge audit --workspace {leaked.path})" in said
        assert leaked.audited is not None
        assert not leaked.audit_report.exists()
    with pytest.raises(EgressRefused, match=f"; run: medforge audit --workspace {leaked.path}, then change the work"):
        run("push", "--workspace", leaked.path, *AWAY)
    first = leaked.audited
    assert first is not None
    assert str(leaked.audit_report) in run("audit", "--workspace", leaked.path, code=1)
    assert leaked.audit_report.exists()
    assert AuditRecord.load(leaked.audit_file).measured == first.measured  # type: ignore[union-attr]


def test_the_json_holds_every_figure(leaked: Workspace) -> None:
    record = json.loads(run("audit", "--workspace", leaked.path, "--json", code=1))
    assert record["files"] == leaked.committed_files
    measured = record["measured"]
    assert (measured["members"], measured["others"]) == (52, 8)
    assert [len(one["images"]) for one in measured["comparisons"].values()] == [4, 4]
    nearest = measured["comparisons"]["layout"]["images"][0]
    assert re.fullmatch("[0-9a-f]{12}", nearest["name"])
    task = Work(leaked).task
    names = (*task.train.images.names, *task.validation.images.names)
    assert hashed(names[nearest["nearest"]]) == nearest["name"]
    assert not any(name in page for name in names for page in leaked.audit_report.read_text())
    assert len(measured["attacks"]) == 5
    assert [c["passed"] for c in record["checks"] if "1 %" in c["name"]] == [None] * 5  # eight others are too few


def test_the_report_shows_the_pairs_and_loads_nothing(leaked: Workspace) -> None:
    run("audit", "--workspace", leaked.path, code=1)
    page = leaked.audit_report.read_text()
    assert "This page shows real images of the centre" in page
    assert "The branch of shades stays in the house" in page
    assert page.count('<li class="copy">') >= 4
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert len(sources) == 2 + 2 + 2 * 4 * 3  # histograms, ROC curves, trios by two measures
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"https?://", re.sub(r'"data:[^"]*"', "", page))


def test_shadow_models_attack_every_part_and_name_the_most_exposed_image(honest: Workspace, tmp_path: Path) -> None:
    """An audit without them stands until they are asked for; asked for again, they are there."""
    run("audit", "--workspace", honest.path)
    command = ("audit", "--workspace", honest.path, "--threads", 1, "--shadows", 4)
    out = run(*command)
    record = AuditRecord.load(honest.audit_file)
    assert record is not None
    by_shadows = [one for one in record.measured.attacks if one.shadows]
    assert [(one.target, one.shadows) for one in by_shadows] == [("plugin", 4), ("distilled", 4)]
    found = record.measured.shadows
    assert found is not None
    assert (found.asked, found.trained, found.said) == (4, 4, ())
    task = Work(honest).task
    assert found.exposed is not None
    assert found.exposed.position < len(task.train)
    assert hashed(task.train.images.names[found.exposed.position]) == found.exposed.name
    assert f"most exposed: image {found.exposed.name}; what the plugin says of it is" in out
    page = honest.audit_report.read_text()
    assert "the image that the plugin gives away most" in page
    assert found.exposed.name in page
    assert not any(name in page for name in (*task.train.images.names, *task.validation.images.names))
    assert list(open_to_others(honest.path)) == []
    before = honest.audit_file.read_bytes()
    run(*command)
    run("audit", "--workspace", honest.path)
    assert honest.audit_file.read_bytes() == before
    site = tmp_path / "site.toml"
    site.write_text("lira_auc = 0.5\nlira_tpr = 0.0\nplugin_auc = 1.0\n")
    strict = run(*command, "--site", site, code=1 if any(one.low > 0.5 < one.auc for one in by_shadows) else 0)
    assert "; at most 0.5 is allowed)" in strict
    assert AuditRecord.load(honest.audit_file).measured == record.measured  # type: ignore[union-attr]


def test_too_little_time_for_shadows_is_said_and_not_judged(honest: Workspace) -> None:
    out = run("audit", "--workspace", honest.path, "--shadows", 8, "--minutes", 0)
    said = "no attack by shadow plugins was made: it needs 4, of which 1 s would give 0; give more --minutes"
    assert f"not judged   {said}" in out
    assert said[1:] in honest.audit_report.read_text()
    assert AuditRecord.load(honest.audit_file).passed  # type: ignore[union-attr]
    with pytest.raises(InvalidInput, match="--minutes bounds the attack by shadow models, and none is asked for"):
        run("audit", "--workspace", honest.path, "--minutes", 5)


def test_the_report_and_record_stay_outside_the_branch(honest: Workspace) -> None:
    run("audit", "--workspace", honest.path)
    assert Branch.load(honest.branch).manifest.files.keys() == honest.committed_files.keys()
    assert not [file for file in honest.branch.rglob("*") if "audit" in file.name]
    assert not honest.audit_report.is_relative_to(honest.branch)


def test_the_test_split_is_never_looked_at(tiny_base: BaseModule) -> None:
    """`make_task` makes a task whose test images fail when they are read."""
    task = make_task(train=24)
    images = tiny_base.normalise(task.train.images[[3, 4]]).to(torch.float16)
    distilled = DistilledDataset(images, torch.tensor([1, 0]), task.prompts)
    found = audit(tiny_base, task, make_plugin(tiny_base), distilled, embed_task(tiny_base, task), seed=0)
    assert found.measured.others == len(task.validation)
    assert [image.nearest for image in found.measured.comparisons["layout"].images] == [3, 4]
    assert [image.nearest for image in found.measured.comparisons["features"].images] == [3, 4]


def test_a_plugin_that_knows_its_images_by_heart_is_refused(
    tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels drawn by lot can only be learned image by image; the last epoch is kept, not the best on validation."""
    lots = torch.randint(0, 2, (160,), generator=torch.Generator().manual_seed(0))
    pixels = make_pixels(lots * 0, 32, seed=4)
    train_split = Split(PixelStore.of_tensor(pixels[:32]), lots[:32])
    others = Split(PixelStore.of_tensor(pixels[32:]), lots[32:])
    task = Task("lots", PROMPTS, train_split, others, others, "procedural")
    recipe = TRAIN.model_copy(update={"epochs": 60, "augment": "none", "lr": 0.02})
    monkeypatch.setattr("medforge.client.train.better", lambda epoch, best, balanced: True)
    learned = train(tiny_base, task, recipe, seed=0)
    distilled = DistilledDataset(
        torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).half(),
        torch.tensor([0, 0, 1, 1]),
        PROMPTS,
    )
    found = audit(tiny_base, task, learned.plugin, distilled, embed_task(tiny_base, task), seed=0).measured
    failed = {check.name for check in judge(found, SitePolicy()) if check.passed is False}
    assert "plugin, attacked by loss: AUC" in failed
    assert not any("distilled" in name for name in failed)
    assert next(attack.auc for attack in found.attacks if attack.name == "loss") > 0.9
