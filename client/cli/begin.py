"""From options to a workspace that can be worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from medforge.cli.interrupt import on_interrupt
from medforge.cli.output import say_json
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.cli.compute import ComputeOptions
    from medforge.client.cli.options import PrivacyOptions, RecipeOptions, SpendingOptions, TaskOptions
    from medforge.client.start import Start
    from medforge.client.work import Work
    from medforge.proto.connection import Connection


def begin(
    directory: Path,
    task: TaskOptions,
    recipe: RecipeOptions,
    compute: ComputeOptions,
    epochs: int | None = None,
    start: Start | None = None,
    check: Callable[[Work], None] = lambda work: None,
    connection: Connection | None = None,
    privacy: PrivacyOptions | None = None,
    spending: SpendingOptions | None = None,
) -> Work:
    """Open the workspace, or begin it, with the options that were given; `check` may refuse it before it is written.

    The declared task is that of the file, or of the forge that the connection leads to. Raises InvalidInput where the
    options differ from those it was begun with, and what `find_declared` raises.
    """
    from medforge.client.begin import begin_work
    from medforge.client.declared_task import find_declared
    from medforge.client.workspace import Workspace

    given = task.given()
    say = partial(typer.echo, err=True)
    declared = find_declared(Workspace(directory), task.task, task.task_file, connection, say)
    if declared is not None:
        given["declared"] = declared
    wanted = (recipe.recipe, recipe.changes(epochs), recipe.distillation, recipe.plugin)
    asked = privacy.asked() if privacy else {}
    if privacy and spending:
        given |= spending.given(privacy)
    work = begin_work(directory, given, *wanted, compute.device, start, check, asked)
    # not before, as it loads torch: what is wrong with the options is said at once
    compute.use_threads()
    return work


def resume(directory: Path, compute: ComputeOptions) -> Work:
    """Open a workspace that must be there. Raises InvalidInput where it is not."""
    from medforge.client.workspace import Workspace

    workspace = Workspace(directory)
    workspace.settings  # noqa: B018  # a missing workspace is said before anything is loaded, which takes seconds
    from medforge.client.work import Work

    compute.use_threads()
    return Work(workspace, compute.device)


def find_start(
    directory: Path,
    text: str | None,
    expert: str | None,
    connection: Connection | None,
    task: TaskOptions,
    recipe: RecipeOptions,
    compute: ComputeOptions,
    as_json: bool,
) -> Start | None:
    """Fetch the merged model that training is to begin from, if any; `expert` names a task of a routed one.

    Raises InvalidInput where an option would give the plugin another shape than the model's.
    """
    if text is None:
        if expert is not None:
            raise InvalidInput(
                f"--from-task {expert} names an expert of a merged model, and no model is named; give --from too"
            )
        return None
    sized = [] if recipe.plugin is None else [f"--plugin {recipe.plugin}"]
    sized += [
        f"--recipe-set {change}"
        for change in recipe.changes()
        if change.startswith("train.plugin.") and not change.startswith("train.plugin.dropout")
    ]
    if sized:
        raise InvalidInput(f"{sized[0]} cannot be used with --from; the plugin keeps the model's kind and ranks")
    from medforge.client.start import find_start as fetch
    from medforge.client.start import open_start
    from medforge.client.workspace import Workspace

    base, workspace = task.base or "medforge-tiny", Workspace(directory)
    own = task.task or (workspace.settings.task if workspace.exists else None)
    start = fetch(workspace, text, lambda: open_start(text, connection), base, compute.device, own, expert)
    if start.said:
        # a JSON document stands alone on stdout
        typer.echo(start.said, err=as_json)
    return start


@contextmanager
def working(work: Work, targets: Sequence[str] = ()) -> Iterator[None]:
    """Keep others out of the workspace meanwhile, and say what is saved if somebody interrupts.

    Curves are written to `targets`.
    """
    from medforge.client.interruption import say_saved
    from medforge.tracking.opening import tracked

    workspace = work.workspace
    with (
        workspace.locked(),
        on_interrupt(lambda: say_saved(workspace)),
        tracked(targets, workspace.path) as work.tracking,
    ):
        yield


def tell(work: Work, as_json: bool, sentence: str) -> None:
    """Say how a stage ended: a sentence, or the workspace's status as JSON."""
    if as_json:
        say_json(work.workspace.status())
    else:
        typer.echo(sentence)
