"""`medforge review`: how what the forge wants to let go live does on the site's own images."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medforge.cli.compute import ComputeOptions
from medforge.cli.output import AsJson, say_json
from medforge.proto.options import ConnectionOptions

if TYPE_CHECKING:
    from medforge.client.review.run import Reviewed, Reviewer
    from medforge.client.workspace import Workspace
    from medforge.proto.connection import Connection


def review(
    forge: ConnectionOptions,
    compute: ComputeOptions,
    workspace: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A workspace whose validation images are asked about; repeat it."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on reviewing whatever the forge asks for.")] = False,
    every: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How often --watch looks what is asked for.")
    ] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Review a commit anew that was reviewed before.")] = False,
    threshold: Annotated[
        int, typer.Option(min=1, metavar="N", help="Send no task, and no route, of fewer images than this.")
    ] = 10,
    epsilon: Annotated[
        float | None,
        typer.Option(min=0, metavar="EPS", help="Add noise to each count: a task's counts are then EPS-private."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the commit that the forge asks about on your own validation images, and send counts of what was right.

    No image and nothing about a single image leaves. The forge lets a commit go live when those who review its tasks
    see no harm. The first review says that this site reviews from now on.

    Examples:
        medforge review --kit kit --workspace clinic --dry-run
        medforge review --kit kit --workspace clinic --workspace lab --watch
    """
    from medforge.client.workspace import Workspace
    from medforge.errors import InvalidInput

    if watch and (dry_run or again):
        raise InvalidInput("--watch goes on reviewing what is new; leave out --dry-run and --again")
    if epsilon == 0:
        raise InvalidInput("--epsilon 0 would be noise alone; give a number above 0, such as 1")
    places = [Workspace(path) for path in workspace or ()]
    for place in places:
        place.settings  # noqa: B018  # the sentence for a missing workspace comes before anything else
    connection = forge.connection()

    from medforge.client.review.run import Reviewer

    compute.use_threads()
    reviewer = Reviewer(
        [place.path for place in places], connection, compute.device, threshold, epsilon, say=_say_on_stderr
    )
    if not watch:
        if not dry_run:
            _recover(places, connection)
        _show(reviewer.once(send=not dry_run, again=again), as_json)
        return
    _watch(reviewer, places, every, as_json)


def _recover(places: list[Workspace], connection: Connection) -> None:
    """Push again what the forge no longer has of the workspaces' branches."""
    from medforge.client.recovery import recover

    for place in places:
        recover(place, connection, _say_on_stderr)


def _watch(reviewer: Reviewer, places: list[Workspace], every: float, as_json: bool) -> None:
    from medforge.cli.interrupt import on_interrupt
    from medforge.errors import ForgeUnavailable, InvalidInput

    said = ""
    with on_interrupt(lambda: "what was sent stays sent; run the same command again to go on"):
        while True:
            try:
                _recover(places, reviewer.connection)
                done = reviewer.once()
                if done.sent:
                    _show(done, as_json)
                said = ""
            except (ForgeUnavailable, InvalidInput) as error:
                # it may stop serving, have no commit yet, or have moved on meanwhile
                if str(error) != said:
                    _say_on_stderr(str(error))
                said = str(error)
            time.sleep(every)


def _show(done: Reviewed, as_json: bool) -> None:
    if as_json:
        say_json(_plain(done))
        return
    for line in _lines(done):
        typer.echo(line)


def _plain(done: Reviewed) -> dict[str, Any]:
    question = done.question
    return {
        "forge": question.forge,
        "stable": question.stable.digest,
        "commit": done.commit and done.commit.digest,
        "sent": done.sent,
        "right_before": done.before,
        "review": done.review and done.review.model_dump(mode="json"),
    }


def _lines(done: Reviewed) -> list[str]:
    from medforge.cli.lines import flow, table

    width = shutil.get_terminal_size().columns
    if done.commit is None:
        return list(flow((f"nothing is to be reviewed; commit {done.question.stable.digest[:8]} is stable",), width, 2))
    what = f"commit {done.commit.digest[:8]} (number {done.commit.number})"
    if done.review is None:
        return list(flow((f"{what} was reviewed from here already; it waits for others, or for the forge",), width, 2))
    rows = [("task", "images", "right before", "now", "lost", "gained", "routed away", "balanced", "P(right)")]
    for name, one in done.review.tasks.items():
        before = done.before.get(name)
        rows.append(
            (
                name,
                str(one.images),
                "–" if before is None else f"{before / one.images:.3f}",
                f"{one.right / one.images:.3f}",
                str(one.lost),
                str(one.gained),
                str(one.taken),
                "–" if one.balanced is None else f"{one.balanced:.3f}",
                "–" if one.confidence is None else f"{one.confidence:.3f}",
            )
        )
    if len(rows) == 1:
        return list(flow((f"{what} answers none of these images, so nothing was sent",), width, 2))
    noise = "" if done.review.epsilon is None else f", with noise (ε = {done.review.epsilon:g} a task)"
    end = f"sent, signed{noise}" if done.sent else f"nothing was sent; this is what would be{noise}"
    return [*flow((what,), width, 2), *table(rows, width, 2, right=range(1, 9)), *flow((end,), width, 2)]


def _say_on_stderr(sentence: str) -> None:
    typer.echo(sentence, err=True)
