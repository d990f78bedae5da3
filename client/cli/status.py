"""`medforge status`: what is done in a workspace, and what the forge made of it."""

from __future__ import annotations

from typing import Any

import typer

from medforge.cli.output import AsJson, say_json
from medforge.client.cli.options import Existing
from medforge.proto.options import ConnectionOptions


def status(workspace: Existing, forge: ConnectionOptions, as_json: AsJson = False) -> None:
    """Show which stages are done; with --kit or --at also what the forge made of the branch.

    Examples:
        medforge status --workspace clinic
        medforge status --workspace clinic --kit kit
    """
    from medforge.client.workspace import Workspace

    def ask() -> dict[str, Any]:
        from medforge.client.send import branch_status

        return branch_status(place, forge.connection())

    place = Workspace(workspace)
    state, asked = place.status(), forge.at is not None or forge.kit is not None
    if as_json:
        say_json(state | ({"forge": ask()} if asked else {}))
        return
    for line in _lines(state):
        typer.echo(line)
    if asked:
        # last, so that what is known here is shown also where the forge cannot be reached
        from medforge.client.send import forge_line

        typer.echo(f"{'at the forge':12} {forge_line(ask())}")


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
        return f"yes, validation accuracy {done['acc']:.3f}"
    return "no" if saved is None else f"no, {spell_saved(read_saved(saved))} saved"


def _statistics(state: dict[str, Any]) -> str:
    from medforge.manifest import STATISTICS_FILE

    if state["committed"] is None:
        return "of classes may be sent" if state["statistics"] else "of classes are left out"
    return f"of classes are {'' if STATISTICS_FILE in state['files'] else 'not '}in the branch"


def _audited(state: dict[str, Any] | None) -> str:
    if state is None:
        return "no"
    if state["passed"]:
        return "yes, passed"
    by = state["overridden_by"]
    return f"yes, over the limits{f', let pass by {by}' if by else ''}: {'; '.join(state['failed'])}"
