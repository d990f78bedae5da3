"""The maintainer's commands about tasks: add, list, show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medforge.aggregator.cli.options import ForgeDirectory, LedgerUrl
from medforge.cli.compute import ComputeOptions
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.ledger.records import Declaration
    from medforge.declared_task import DeclaredTask

Name = Annotated[str, typer.Argument(metavar="NAME", help="The task's name, which branches bear.")]


def add(
    name: Name,
    forge: ForgeDirectory,
    compute: ComputeOptions,
    classes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The classes: a CSV with the columns key,prompt, lines `key: prompt`, or what `medforge task show "
            "--json` wrote.",
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="BRANCH",
            help="Take the classes of an arrival instead, by its number, task or digest, as `medforge log --held` "
            "names it.",
        ),
    ] = None,
    modality: Annotated[
        str | None, typer.Option(metavar="WORDS", help="What the images are, such as chest x-ray; for people.")
    ] = None,
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Declare a task: its name, its classes with their prompts, and what the images are.

    It works while the forge is served. Arrivals that were held only because the task was not declared are released.

    Examples:
        medforge task add chest --classes prompts.csv --modality "chest x-ray" --forge forge
        medforge task add chest --like 4 --forge forge
    """
    from medforge.aggregator.cli.maintain import opened_forge
    from medforge.aggregator.forge.declaring import check_limits, declare
    from medforge.aggregator.ledger.task_table import TaskTable
    from medforge.errors import InvalidInput

    if (classes is None) == (like is None):
        raise InvalidInput("the classes are not given, or twice; give either --classes FILE or --like BRANCH")
    with opened_forge(forge, ledger) as opened:
        table = TaskTable(opened.ledger)
        task = _declaration(opened, name, classes, like, modality)
        known = table.declarations().get(name)
        if known is not None:
            raise InvalidInput(
                f"task {name!r} is declared already, {_by(known)}; choose another name, or see it with "
                f"`medforge task show`"
            )
        check_limits(task, opened.policy.limits)

        # what follows takes seconds to import, and nothing was wrong so far
        from medforge.base import load_base
        from medforge.progress import waiting

        compute.use_threads()
        with waiting("comparing the prompts with those of the other tasks"):
            base = load_base(opened.settings.base_spec, compute.device)
            if base.fingerprint != opened.settings.base:
                raise InvalidInput(
                    f"{opened.settings.base_spec} is another base module than the forge's {opened.settings.base[:12]}; "
                    f"put the forge's own checkpoint back"
                )
            released = declare(table, task, base)
        declared = table.declarations()[name]
    if as_json:
        say_json(_plain(declared) | {"released": released})
        return
    count = f"{len(task.classes)} classes"
    typer.echo(f"task {name} is declared with {count}; {_released(released)}")


def list_tasks(forge: ForgeDirectory, ledger: LedgerUrl = None, as_json: AsJson = False) -> None:
    """List the declared tasks.

    Example:
        medforge task list --forge forge
    """
    import shutil

    from medforge.aggregator.cli.maintain import opened_forge
    from medforge.aggregator.ledger.task_table import TaskTable
    from medforge.cli.lines import flow

    with opened_forge(forge, ledger) as opened:
        declared = TaskTable(opened.ledger).declarations().values()
        open_tasks = opened.policy.tasks.open
    if as_json:
        say_json({"open": open_tasks, "tasks": [_plain(one) for one in declared]})
        return
    for one in declared:
        task = one.task
        parts = (task.name, task.modality, f"{len(task.classes)} classes: {', '.join(task.keys)}", _by(one))
        for line in flow(parts, shutil.get_terminal_size().columns, 4):
            typer.echo(line)
    if not declared:
        how = "the first branch of each declares it" if open_tasks else "`medforge task add` declares one"
        typer.echo(f"no task is declared yet; {how}")


def show(name: Name, forge: ForgeDirectory, ledger: LedgerUrl = None, as_json: AsJson = False) -> None:
    """Show a declared task; with --json as the signed file that a centre can be given.

    Examples:
        medforge task show chest --forge forge
        medforge task show chest --forge forge --json
    """
    from medforge.aggregator.cli.maintain import opened_forge
    from medforge.aggregator.ledger.task_table import TaskTable
    from medforge.errors import printable
    from medforge.proto.errors import NotFound

    with opened_forge(forge, ledger) as opened:
        found = TaskTable(opened.ledger).declarations().get(name)
        if found is None:
            raise NotFound(f"task {name!r} is not declared; `medforge task list` lists those that are")
        if as_json:
            say_json(opened.signed(found.task).document())
            return
    task = found.task
    typer.echo(f"{task.name}{f' ({task.modality})' if task.modality else ''}, {_by(found)}")
    width = max(map(len, ("class", *task.keys)))
    typer.echo(f"{'class':{width}}  prompt")
    for one in task.classes:
        typer.echo(printable(f"{one.key:{width}}  {one.prompt}"))


def _declaration(
    opened: Forge, name: str, classes: Path | None, like: str | None, modality: str | None
) -> DeclaredTask:
    """Make the declaration out of a file of classes or an arrival's manifest."""
    from medforge.aggregator.forge.class_file import read_classes
    from medforge.aggregator.forge.names import find_arrival
    from medforge.declared_task import DeclaredTask

    if classes is not None:
        pairs = [(one.key, one.prompt) for one in read_classes(classes)]
        return DeclaredTask.make(name, pairs, modality or "")
    assert like is not None
    manifest = opened.manifest(find_arrival(opened.ledger.arrivals(), like).number)
    told = DeclaredTask.of(manifest)
    words = manifest.modality if modality is None else modality
    return DeclaredTask.make(name, [(one.key, one.prompt) for one in told.classes], words or "")


def _plain(declared: Declaration) -> dict[str, Any]:
    by = "maintainer" if declared.arrival is None else "arrival"
    about = {"declared_by": by, "arrival": declared.arrival, "declared_at": declared.declared_at}
    return declared.task.model_dump(mode="json") | {"digest": declared.task.digest} | about


def _by(declared: Declaration) -> str:
    who = "the maintainer" if declared.arrival is None else f"arrival {declared.arrival}"
    return f"by {who} on {declared.declared_at[:10]}"


def _released(count: int) -> str:
    if not count:
        return "no arrival was waiting for it"
    return f"{count} arrival{'s' if count > 1 else ''} that waited for it {'are' if count > 1 else 'is'} released"
