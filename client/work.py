"""The stages of a centre's work on its workspace. Each skips what is done and continues what was interrupted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.base import BaseModule, load_base
from medforge.base_mismatch import check_same_base
from medforge.branch import Branch
from medforge.client.audit.policy import SitePolicy
from medforge.client.audit.record import AuditRecord
from medforge.client.audit.run import audit
from medforge.client.audit.shadows.attack import ShadowOrder
from medforge.client.audit.shadows.budget import ShadowBudget
from medforge.client.audit.verdict import judge
from medforge.client.data.catalogue import open_task, source_package
from medforge.client.data.declared import declare
from medforge.client.data.inspection.before_work import check_images
from medforge.client.data.prompts import check_told_apart
from medforge.client.data.task import Task
from medforge.client.distill.run import check_distillable, distill
from medforge.client.distill.score import Candidate
from medforge.client.embeddings import Embeddings, embed_task
from medforge.client.facts import gather_facts, private_facts
from medforge.client.naming import name_for, rename
from medforge.client.privacy.centre import PrivateCentre
from medforge.client.privacy.spending import check_total, together
from medforge.client.recipe import Recipe
from medforge.client.records import CandidateRecord, DistillationRecord, EpochRecord, TrainingRecord
from medforge.client.release import Release, release
from medforge.client.saved import CHECKPOINT_FILE
from medforge.client.settings import Settings
from medforge.client.shadow_statistics import statistics_of_halves
from medforge.client.train import Epoch, train
from medforge.client.workspace import RECORD_FILE, Workspace
from medforge.contributor_name import ContributorName
from medforge.distilled import DistilledDataset
from medforge.errors import InvalidInput
from medforge.files import canonical_json, write_atomically
from medforge.manifest import NAME
from medforge.plugin import Plugin
from medforge.progress import remark, waiting
from medforge.tracking.tracking import Tracking

if TYPE_CHECKING:
    from medforge.proto.kit import Kit


@dataclass
class Work:
    """Do a workspace's stages on one machine; base and task are loaded once, when a stage first needs them."""

    workspace: Workspace
    device: str = "auto"
    planned: Settings | None = None
    """Settings that are not written yet."""
    leaks: int = 0
    """Pairs of images that are the same and in two splits or classes, once the task is open."""
    tracking: Tracking = field(default_factory=Tracking)
    """Where curves are written while a stage goes on."""

    @cached_property
    def settings(self) -> Settings:
        """Return the workspace's settings."""
        return self.planned or self.workspace.settings

    @cached_property
    def recipe(self) -> Recipe:
        """Return the workspace's recipe."""
        return Recipe.model_validate(self.settings.recipe)

    @cached_property
    def base(self) -> BaseModule:
        """Load the base module. Raises BaseMismatch where training was done on another."""
        with waiting("loading the base module"):
            base = load_base(self.settings.base, self.device, self.settings.dtype)
        if (kept := self.workspace.base) is not None:
            check_same_base(kept, base.facts)
        return base

    @cached_property
    def task(self) -> Task:
        """Open the task. Raises InvalidInput for a task name that no manifest accepts."""
        settings = self.settings
        geometry = self.base.preprocessing
        with waiting("listing the images"):
            undeclared = settings.declared is None
            task = open_task(
                settings.source,
                geometry,
                settings.seed,
                self.workspace.cache,
                prompted=undeclared,
                look_alikes=settings.inspected,
            )
        if settings.inspected:
            self.leaks = check_images(task, settings.source, remark).leaks
        else:
            for note in task.notes:
                remark(note)
        if settings.declared is not None:
            task = declare(task, settings.declared, settings.class_map)
        check_told_apart(task, self.base)
        if not re.match(NAME, settings.task or task.name):
            raise InvalidInput(f"the task's name {task.name!r} cannot be used; give it another name with --task NAME")
        return task

    @property
    def embeddings(self) -> Embeddings:
        """Return what the base makes of the training and validation images, computed once and kept."""
        return embed_task(self.base, self.task, self.workspace.embeddings_file, self.workspace.progress_file)

    @cached_property
    def private(self) -> PrivateCentre | None:
        """What stands between the training images and the branch; None without differential privacy."""
        if self.recipe.privacy is None:
            return None
        place = self.workspace
        return PrivateCentre(self.base, self.task, self.recipe, place.privacy, place.begun)

    def check_distillable(self) -> None:
        """Find out before hours of training whether a branch can come of it. Raises InvalidInput where it cannot."""
        if self.workspace.distilled is None:
            check_distillable(self.task)

    def train(self) -> EpochRecord:
        """Train the plugin unless that is done; return the best epoch's record."""
        workspace = self.workspace
        if workspace.trained is None:
            self._say_spending()
            trained = train(
                self.base,
                self.task,
                self.recipe.train,
                self.settings.seed,
                workspace.training,
                workspace.progress_file,
                self._start(),
                self.tracking,
                self.private,
            )
            trained.plugin.save(workspace.plugin)
            write_atomically(workspace.base_file, canonical_json(self.base.facts.model_dump(mode="json")) + b"\n")
            if package := source_package(self.settings.source):
                write_atomically(workspace.training / "source.json", canonical_json(package) + b"\n")
            record = TrainingRecord(
                task=self.settings.task or self.task.name,
                images=len(self.task.train),
                epochs=tuple(EpochRecord.model_validate(epoch._asdict()) for epoch in trained.history),
                best=EpochRecord.model_validate(trained.best._asdict()),
            )
            record.save(workspace.training / RECORD_FILE)
        _forget_checkpoint(workspace.training)
        done = workspace.trained
        assert done is not None
        for epoch in done.epochs:
            Epoch(**epoch.model_dump()).log(self.tracking)
        return done.best

    def _say_spending(self) -> None:
        """Say what the branch spends; raises InvalidInput where it is too much together with earlier ones."""
        if self.private is None:
            return
        plan, settings = self.private.plan, self.settings
        total = together(settings.earlier, plan)
        check_total(total, settings.epsilon_total)
        if self.workspace.trained is None:
            for line in plan.lines():
                remark(line)
            if settings.earlier:
                remark(f"together with earlier branches of these images: {total}")

    def distill(self) -> CandidateRecord:
        """Learn the distilled dataset unless that is done; return the chosen candidate's record."""
        workspace = self.workspace
        if workspace.distilled is None:
            self._say_spending()
            distilled = distill(
                self.base,
                self.task,
                self.recipe.distill,
                self.settings.seed,
                workspace.distillation,
                workspace.progress_file,
                Plugin.load(workspace.plugin) if workspace.trained else None,
                self.tracking,
                self.private,
            )
            distilled.dataset.save(workspace.distilled_file)
            record = DistillationRecord(
                candidates=tuple(CandidateRecord.model_validate(one._asdict()) for one in distilled.candidates),
                best=CandidateRecord.model_validate(distilled.best._asdict()),
            )
            record.save(workspace.distillation / RECORD_FILE)
        _forget_checkpoint(workspace.distillation)
        done = workspace.distilled
        assert done is not None
        for candidate in done.candidates:
            Candidate(**candidate.model_dump()).log(self.tracking)
        return done.best

    def commit(
        self,
        kit: Kit | None = None,
        say: Callable[[str], None] = lambda sentence: None,
        site: SitePolicy | None = None,
    ) -> str:
        """Put plugin, distilled dataset and what the site says of them together as a branch; return its digest.

        What is committed stays. The branch bears the kit's name, else the one that was given, else the directory's. One
        that bears another is committed again, and `say` hears of it, as of class statistics that stay here. `site`
        bounds those; without it the built-in limits do.

        Raises InvalidInput when a stage is missing or the kit's forge has the branch under another name, InvalidBranch
        when the result must not be pushed.
        """
        workspace = self.workspace
        trained, distilled = workspace.trained, workspace.distilled
        if trained is None or distilled is None:
            missing = "train" if trained is None else "distill"
            raise InvalidInput(
                f"the workspace {workspace.path} has nothing to commit yet; "
                f"run: medforge {missing} --workspace {workspace.path}"
            )
        if workspace.committed is not None:
            said = rename(workspace, kit)
            if said:
                say(said)
            return str(workspace.committed)
        branch = self._branch(trained, distilled, name_for(workspace, kit), site or SitePolicy(), say)
        branch.save(workspace.branch)
        given, name = self.settings.contributor, branch.manifest.name
        if kit is not None and given not in (None, name.identifier, name.display):
            say(f"the branch bears the kit's name, {name}, and not {given}")
        return str(workspace.committed)

    def _branch(
        self,
        trained: TrainingRecord,
        distilled: DistillationRecord,
        name: ContributorName,
        site: SitePolicy,
        say: Callable[[str], None],
    ) -> Branch:
        workspace, best, private = self.workspace, trained.best, self.private
        validation = {"acc": best.acc, "auc": best.auc, "loss": best.loss, "distilled_acc": distilled.best.acc}
        branch = Branch.build(
            Plugin.load(workspace.plugin),
            DistilledDataset.load(workspace.distilled_file),
            contributor=name,
            task=trained.task,
            base=self.base,
            training_images=private.plan.units if private else trained.images,
            recipe=self.recipe.name,
            seed=self.settings.seed,
            validation={} if private else {name: value for name, value in validation.items() if value is not None},
            start=self.settings.start,
        )
        if private:
            return branch.with_facts(private_facts(private, self.task, site, workspace.settings.statistics), self.base)
        embeddings = self.embeddings
        released = release(embeddings, self.task, site) if workspace.settings.statistics else Release(None)
        for sentence in released.said:
            say(sentence)
        facts = gather_facts(
            self.base,
            self.task,
            branch.plugin,
            branch.distilled,
            embeddings.validation,
            released.statistics,
            workspace.progress_file,
        )
        if self.settings.inspected and self.task.split != "procedural":
            facts = replace(facts, split=self.task.split, together=self.task.together, leaks=self.leaks)
        return branch.with_facts(facts, self.base)

    def _start(self) -> Plugin | None:
        if self.settings.start is None:
            return None
        if not self.workspace.start.is_dir():
            raise InvalidInput(
                f"the workspace {self.workspace.path} was to begin from forge item {self.settings.start[:12]}, which "
                "is not there; restore the directory start/ or begin another workspace"
            )
        return Plugin.load(self.workspace.start)

    def audit(
        self, site: SitePolicy | None = None, shadows: ShadowBudget | None = None, page: bool = True
    ) -> AuditRecord:
        """Audit the committed branch unless that is done; write record and, as a `page`, report; return the record.

        Without `site` an audit that was done stands, by whatever policy; a new one is judged by the default policy.
        With `shadows` the branch is attacked by as many shadow models too, unless it was by as many before.
        Raises InvalidInput while nothing is committed, and what `Branch.load` and `Branch.check` raise.
        """
        workspace = self.workspace
        if workspace.committed is None:
            raise InvalidInput(
                f"the workspace {workspace.path} has nothing to audit yet; "
                f"run: medforge commit --workspace {workspace.path}"
            )
        done = workspace.audited
        written = workspace.audit_report.exists() or not page
        if done is not None and written and site in (None, done.policy):
            by = done.measured.shadows
            if shadows is None or (by is not None and by.trained >= shadows.shadows and not by.stopped):
                return done
        policy = site or SitePolicy()
        branch = Branch.load(workspace.branch)
        branch.check(self.base)
        evidence = audit(
            self.base,
            self.task,
            branch.plugin,
            branch.distilled,
            self.embeddings,
            self.settings.seed,
            workspace.progress_file,
            branch.statistics,
            None
            if shadows is None
            else ShadowOrder(self.recipe, statistics_of_halves(policy), shadows, workspace.shadows, self._start()),
        )
        earlier = AuditRecord.load(workspace.audit_file)
        record = AuditRecord(
            at=datetime.now(UTC),
            task=branch.manifest.task,
            files={name: entry.digest for name, entry in branch.manifest.files.items()},
            policy=policy,
            measured=evidence.measured,
            checks=judge(evidence.measured, policy),
            overrides=earlier.overrides if earlier else (),
            privacy=branch.manifest.privacy,
            spent=workspace.spent,
        )
        if page:
            # matplotlib, which only this needs, takes a second to import
            from medforge.client.audit.page import render

            write_atomically(workspace.audit_report, render(record, evidence, self.task).encode())
        else:
            # one that is there is of another branch
            workspace.audit_report.unlink(missing_ok=True)
        record.save(workspace.audit_file)
        return record


def _forget_checkpoint(directory: Path) -> None:
    (directory / CHECKPOINT_FILE).unlink(missing_ok=True)
