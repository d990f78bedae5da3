"""The stages of a centre's work on its workspace. Each skips what is done and continues what was interrupted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from medforge.base import BaseModule, load_base
from medforge.branch import Branch
from medforge.client.audit.policy import SitePolicy
from medforge.client.audit.record import AuditRecord
from medforge.client.audit.run import audit
from medforge.client.audit.verdict import judge
from medforge.client.data.catalogue import open_task, source_package
from medforge.client.data.task import Task
from medforge.client.distill.run import check_distillable, distill
from medforge.client.recipes import Recipe, change_recipe, recipe_for, with_method, with_plugin
from medforge.client.train import train
from medforge.client.workspace import NAME, Settings, Workspace, make_settings, write_record
from medforge.distilled import DistilledDataset
from medforge.errors import InvalidInput
from medforge.files import write_atomically
from medforge.plugin import Plugin


@dataclass
class Work:
    """Do a workspace's stages on one machine; base and task are loaded once, when a stage first needs them."""

    workspace: Workspace
    device: str = "auto"

    @cached_property
    def settings(self) -> Settings:
        """Return the workspace's settings."""
        return self.workspace.settings

    @cached_property
    def recipe(self) -> Recipe:
        """Return the workspace's recipe."""
        return Recipe.model_validate(self.settings.recipe)

    @cached_property
    def base(self) -> BaseModule:
        """Load the base module."""
        return load_base(self.settings.base, self.device, self.settings.dtype)

    @cached_property
    def task(self) -> Task:
        """Open the task. Raises InvalidInput for a task name that no manifest accepts."""
        settings = self.settings
        task = open_task(settings.source, self.base.image_size, settings.seed, self.workspace.cache)
        if not re.match(NAME, settings.task or task.name):
            raise InvalidInput(f"The task's name {task.name!r} cannot be used; give it another name with --task NAME.")
        return task

    def check_distillable(self) -> None:
        """Find out before hours of training whether a branch can come of it. Raises InvalidInput where it cannot."""
        if self.workspace.distilled is None:
            check_distillable(self.task)

    def train(self) -> dict[str, Any]:
        """Train the plugin unless that is done; return the best epoch's record."""
        workspace = self.workspace
        if workspace.trained is None:
            trained = train(
                self.base,
                self.task,
                self.recipe.train,
                self.settings.seed,
                workspace.training,
                workspace.progress_file,
                self._start(),
            )
            trained.plugin.save(workspace.plugin)
            if package := source_package(self.settings.source):
                write_record(workspace.training / "source.json", package)
            record = {
                "task": self.settings.task or self.task.name,
                "images": len(self.task.train),
                "epochs": [epoch._asdict() for epoch in trained.history],
                "best": trained.best._asdict(),
            }
            write_record(workspace.training / "history.json", record)
        _forget_checkpoint(workspace.training)
        return _best(workspace.trained)

    def distill(self) -> dict[str, Any]:
        """Learn the distilled dataset unless that is done; return the chosen candidate's record."""
        workspace = self.workspace
        if workspace.distilled is None:
            distilled = distill(
                self.base,
                self.task,
                self.recipe.distill,
                self.settings.seed,
                workspace.distillation,
                workspace.progress_file,
                Plugin.load(workspace.plugin) if workspace.trained else None,
            )
            distilled.dataset.save(workspace.distilled_file)
            candidates = [candidate._asdict() for candidate in distilled.candidates]
            record = {"candidates": candidates, "best": distilled.best._asdict()}
            write_record(workspace.distillation / "history.json", record)
        _forget_checkpoint(workspace.distillation)
        return _best(workspace.distilled)

    def commit(self) -> str:
        """Put plugin and distilled dataset together as a branch unless that is done; return its digest.

        Raises InvalidInput when a stage is missing, InvalidBranch when the result must not be pushed.
        """
        workspace = self.workspace
        trained, distilled = workspace.trained, workspace.distilled
        if trained is None or distilled is None:
            missing = "train" if trained is None else "distill"
            raise InvalidInput(
                f"The workspace {workspace.path} has nothing to commit yet; "
                f"run: medforge {missing} --workspace {workspace.path}"
            )
        if workspace.committed is None:
            validation = {name: trained["best"][name] for name in ("acc", "auc", "loss")}
            validation["distilled_acc"] = distilled["best"]["acc"]
            branch = Branch.build(
                Plugin.load(workspace.plugin),
                DistilledDataset.load(workspace.distilled_file),
                contributor=self.settings.contributor,
                task=trained["task"],
                base=self.base,
                training_images=trained["images"],
                recipe=self.recipe.name,
                seed=self.settings.seed,
                validation={name: value for name, value in validation.items() if value is not None},
                start=self.settings.start,
            )
            branch.save(workspace.branch)
        return str(workspace.committed)

    def _start(self) -> Plugin | None:
        if self.settings.start is None:
            return None
        if not self.workspace.start.is_dir():
            raise InvalidInput(
                f"The workspace {self.workspace.path} was to begin from forge item {self.settings.start[:12]}, which "
                "is not there; restore the directory start/ or begin another workspace."
            )
        return Plugin.load(self.workspace.start)

    def audit(self, site: SitePolicy | None = None) -> AuditRecord:
        """Audit the committed branch unless that is done; write record and report, and return the record.

        Without `site` an audit that was done stands, by whatever policy; a new one is judged by the default policy.
        Raises InvalidInput while nothing is committed, and what `Branch.load` and `Branch.check` raise.
        """
        workspace = self.workspace
        if workspace.committed is None:
            raise InvalidInput(
                f"The workspace {workspace.path} has nothing to audit yet; "
                f"run: medforge commit --workspace {workspace.path}"
            )
        done = workspace.audited
        if done is not None and workspace.audit_report.exists() and site in (None, done.policy):
            return done
        branch = Branch.load(workspace.branch)
        branch.check(self.base)
        evidence = audit(
            self.base, self.task, branch.plugin, branch.distilled, self.settings.seed, workspace.progress_file
        )
        # matplotlib, which only this stage needs, takes a second to import
        from medforge.client.audit.page import render

        earlier = AuditRecord.load(workspace.audit_file)
        policy = site or SitePolicy()
        record = AuditRecord(
            at=datetime.now(UTC),
            task=branch.manifest.task,
            files={name: entry.digest for name, entry in branch.manifest.files.items()},
            policy=policy,
            measured=evidence.measured,
            checks=judge(evidence.measured, policy),
            overrides=earlier.overrides if earlier else (),
        )
        write_atomically(workspace.audit_report, render(record, evidence, self.task).encode())
        record.save(workspace.audit_file)
        return record


def open_workspace(
    directory: Path,
    given: Mapping[str, object],
    recipe: str | None,
    changes: Sequence[str],
    method: str | None = None,
    plugin: str | None = None,
) -> Workspace:
    """Open a workspace whose settings agree with those given, or begin it with them and the defaults of the others.

    The recipe is compared only when it is named or changed, else the distillation method and the plugin kind alone when
    they are given.
    Raises InvalidInput naming what is missing or differs.
    """
    workspace = Workspace(directory)
    if workspace.exists:
        wanted = dict(given)
        if workspace.settings.start is not None:
            # the merged model that it was begun from decided the kind
            plugin = workspace.settings.plugin
        if recipe is not None or changes:
            wanted["recipe"] = _chosen(workspace.settings.base, recipe, changes, method, plugin).model_dump(mode="json")
        else:
            wanted |= {name: value for name, value in (("method", method), ("plugin", plugin)) if value is not None}
        workspace.require(wanted)
        return workspace
    if "source" not in given:
        raise InvalidInput(
            f"There is no workspace in {directory} yet; say which images it works on, "
            f"e.g. medforge train folder:PATH --workspace {directory}"
        )
    base = str(given.get("base", "medforge-tiny"))
    chosen = _chosen(base, recipe, changes, method, plugin)
    values = {"contributor": directory.resolve().name, **given, "recipe": chosen.model_dump(mode="json")}
    workspace.create(make_settings(values))
    return workspace


def _chosen(base: str, recipe: str | None, changes: Sequence[str], method: str | None, plugin: str | None) -> Recipe:
    chosen = recipe_for(base, recipe)
    if method is not None:
        chosen = with_method(chosen, method)
    if plugin is not None:
        chosen = with_plugin(chosen, plugin)
    return change_recipe(chosen, changes)


def _best(record: dict[str, Any] | None) -> dict[str, Any]:
    assert record is not None
    best: dict[str, Any] = record["best"]
    return best


def _forget_checkpoint(directory: Path) -> None:
    (directory / "checkpoint.safetensors").unlink(missing_ok=True)
