"""Whether what a workspace works on is a task of the forge, class by class."""

from __future__ import annotations

from pathlib import Path

from medforge.client.doctor.diagnosis import Diagnosis, problem, skipped
from medforge.declared_task import DeclaredTask
from medforge.errors import MedForgeError
from medforge.files import read_file
from medforge.prompt_form import normal_form
from medforge.proto import forge_pb2 as pb
from medforge.proto.codec import task_from_message
from medforge.proto.forge_keys import signing_key
from medforge.proto.kit import Kit


def check_task(reply: pb.DescribeReply | None, kit: Kit | None, workspace: Path | None) -> Diagnosis:
    """See whether the forge declares the workspace's task with the classes that the workspace works on."""
    from medforge.client.workspace import Workspace

    if reply is None or workspace is None:
        return skipped("task", "no workspace was given" if workspace is None else "the forge could not be asked")
    place = Workspace(workspace)
    try:
        key = signing_key(reply, kit)
        signed = [task_from_message(message, reply.forge, key) for message in reply.tasks]
        if place.committed is not None:
            return _of_branch(place.branch, {one.task.name: one.task for one in signed}, reply.open_tasks)
        settings = place.settings
        name = settings.task
        if name is None:
            return skipped("task", "the workspace names none yet; the branch will bear the source's")
        return _of_workspace(name, settings.declared, {one.task.name: one.task for one in signed}, reply.open_tasks)
    except MedForgeError as error:
        return problem("task", error)


def _of_branch(branch: Path, tasks: dict[str, DeclaredTask], admits_new: bool) -> Diagnosis:
    from medforge.manifest import MANIFEST_FILE, Manifest

    manifest = Manifest.parse(read_file(branch / MANIFEST_FILE, "the manifest"))
    there = tasks.get(manifest.task)
    if there is None:
        return _undeclared(manifest.task, admits_new)
    if admits_new:
        there.extended(manifest)
    else:
        there.places(manifest)
    return Diagnosis("task", "ok", f"the branch answers the forge's task {there.name}")


def _of_workspace(
    name: str, declared: DeclaredTask | None, tasks: dict[str, DeclaredTask], admits_new: bool
) -> Diagnosis:
    there = tasks.get(name)
    if there is None:
        return _undeclared(name, admits_new)
    if declared is None:
        return Diagnosis(
            "task",
            "warning",
            f"the forge declares task {name}, but the workspace works with its source's own classes",
            "begin another workspace with --kit DIR --task NAME (and --map FILE where folders are called otherwise)",
        )
    gone = [one.prompt for one in declared.classes if normal_form(one.prompt) not in map(normal_form, there.prompts)]
    if gone:
        return Diagnosis(
            "task",
            "problem",
            f"the forge's task {name} has no class with the prompt {gone[0]!r} any more",
            "begin another workspace with --kit DIR --task NAME",
        )
    return Diagnosis("task", "ok", f"{name}, with {len(there.classes)} classes, as the forge declares it")


def _undeclared(name: str, admits_new: bool) -> Diagnosis:
    if admits_new:
        return Diagnosis("task", "ok", f"the first branch declares task {name} at this forge")
    return Diagnosis(
        "task",
        "warning",
        f"the forge does not declare task {name}, so a branch of it waits there",
        "ask the maintainer for `medforge task add`, or work on a declared task",
    )
