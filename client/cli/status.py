"""`medforge status`: what is done in a workspace, and what the forge made of it."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from medforge.cli.output import AsJson, say_json
from medforge.client.cli.kit_end import say_kit_ends
from medforge.client.cli.options import ExistingIfAny
from medforge.proto.options import ConnectionOptions

if TYPE_CHECKING:
    from medforge.client.branch_fate import BranchFate


def status(forge: ConnectionOptions, workspace: ExistingIfAny = None, as_json: AsJson = False) -> None:
    """Show which stages are done; with --kit or --at also what the forge made of the branch.

    With --kit alone it shows what the forge made of every branch that you sent, and what to do next.

    Examples:
        medforge status --workspace clinic
        medforge status --workspace clinic --kit kit
        medforge status --kit kit
    """
    asked = forge.at is not None or forge.kit is not None
    if workspace is not None:
        _show_workspace(workspace, forge if asked else None, as_json)
    elif asked:
        _show_branches(forge, as_json)
    else:
        from medforge.errors import InvalidInput

        raise InvalidInput("nothing is named to look at; give --workspace DIR, --kit DIR, or both")


def _show_workspace(workspace: Path, forge: ConnectionOptions | None, as_json: bool) -> None:
    from medforge.client.workspace import Workspace

    place = Workspace(workspace)
    state = place.status()
    if not as_json:
        for line in _lines(state):
            typer.echo(line)
    if forge is not None:
        # last, so that what is known here is shown also where the forge cannot be reached
        from medforge.client.recovery import recover
        from medforge.client.send import branch_fate

        connection = forge.connection()
        say_kit_ends(connection)
        recovery = recover(place, connection, lambda sentence: typer.echo(sentence, err=True))
        fate = branch_fate(place, connection)
        following = fate.next_step(str(forge.kit or "DIR"), str(workspace))
        state |= {"forge": asdict(fate) | {"next": following}, "recovery": recovery.plain()}
        state["pushed"] = place.status()["pushed"]
        if not as_json:
            _say(fate, following)
    if as_json:
        say_json(state)


def _show_branches(forge: ConnectionOptions, as_json: bool) -> None:
    from medforge.client.send import branch_fates
    from medforge.errors import printable

    connection = forge.connection()
    say_kit_ends(connection)
    fates = branch_fates(connection)
    assert connection.kit is not None
    name = connection.kit.card.name
    if as_json:
        about = {"contributor": name.identifier, "display_name": name.display, "at": connection.address}
        say_json(about | {"branches": [asdict(fate) | {"next": fate.next_step(str(forge.kit))} for fate in fates]})
        return
    count = f"{len(fates) or 'no'} branch{'' if len(fates) == 1 else 'es'}"
    typer.echo(printable(f"{count} of {name} at the forge at {connection.address}"))
    for fate in fates:
        typer.echo()
        _say(fate, fate.next_step(str(forge.kit)), f"{fate.task} ({fate.branch[:8]})")


def _say(fate: BranchFate, next_step: str, branch: str | None = None) -> None:
    from medforge.cli.lines import entry
    from medforge.client.branch_fate import fate_lines

    named = [] if branch is None else [("branch", branch)]
    for name, value in (*named, *fate_lines(fate, next_step)):
        for line in entry(name, value, shutil.get_terminal_size().columns, 13):
            typer.echo(line)


def _lines(state: dict[str, Any]) -> list[str]:
    names = ("source", "contributor", "task", "base", "recipe", "seed", "dtype")
    unset = {"contributor": "whoever the kit names", "task": "the source's"}
    known = state if state["contributor"] is None else {**state, "contributor": _who(state)}
    if state["declared"] is not None:
        known = {**known, "task": f"{state['task']}, as the forge declares it"}
    lines = [f"{name:12} {unset.get(name) if known[name] is None else known[name]}" for name in names]
    if state["start"] is not None:
        lines.append(f"{'begun from':12} forge item {state['start']}")
    for name, stage in (("trained", "training"), ("distilled", "distillation")):
        lines.append(f"{name:12} {_stage(state[name], state['saved'][stage])}")
    return [
        *lines,
        f"{'committed':12} {state['committed'] or 'no'}",
        f"{'statistics':12} {_statistics(state)}",
        f"{'privacy':12} {_privacy(state)}",
        f"{'audited':12} {_audited(state['audited'])}",
        f"{'pushed':12} {'no' if state['pushed'] is None else 'yes'}",
    ]


def _who(state: dict[str, Any]) -> str:
    from medforge.contributor_name import shown
    from medforge.errors import printable

    return printable(shown(state["contributor"], state["display_name"]))


def _stage(done: dict[str, Any] | None, saved: dict[str, Any] | None) -> str:
    from medforge.client.saved import read_saved, spell_saved

    if done is not None:
        balanced = "" if done.get("balanced") is None else f", balanced {done['balanced']:.3f}"
        return f"yes, validation accuracy {done['acc']:.3f}{balanced}"
    return "no" if saved is None else f"no, {spell_saved(read_saved(saved))} saved"


def _statistics(state: dict[str, Any]) -> str:
    from medforge.manifest import STATISTICS_FILE

    if state["committed"] is None:
        return "of classes may be sent" if state["statistics"] else "of classes are left out"
    return f"of classes are {'' if STATISTICS_FILE in state['files'] else 'not '}in the branch"


def _privacy(state: dict[str, Any]) -> str:
    from medforge.client.privacy.spending import Spending

    if state["epsilon"] is None:
        return "no differential privacy"
    if state["spent"] is None:
        return f"ε = {state['epsilon']:g}, nothing spent yet"
    total = Spending.model_validate(state["spent"])
    return f"ε = {state['epsilon']:g}" + (
        f"; {total}" if total.branches > 1 else f", δ = {total.delta:g}, per {total.unit}"
    )


def _audited(state: dict[str, Any] | None) -> str:
    if state is None:
        return "no"
    if state["passed"]:
        return "yes, passed"
    by = state["overridden_by"]
    return f"yes, over the limits{f', let pass by {by}' if by else ''}: {'; '.join(state['failed'])}"
