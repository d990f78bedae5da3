"""The aggregator's commands: serve, log, checkout, methods."""

# No `from __future__ import annotations` here: typer reads the annotations when a command is registered.
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medforge.aggregator.commit import Commit
    from medforge.aggregator.forge import ForgeSettings
    from medforge.aggregator.merge import MethodSettings
    from medforge.aggregator.view import Waiting

DirectoryOption = Annotated[Path | None, typer.Option("--forge", help="Directory of the forge.", metavar="DIR")]
AddressOption = Annotated[str | None, typer.Option("--at", help="Address of the forge.", metavar="HOST:PORT")]
LedgerOption = Annotated[
    str | None, typer.Option(help="SQLAlchemy URL of the ledger, if it is not in the forge directory.", metavar="URL")
]


def register(app: typer.Typer) -> None:
    """Add the aggregator's commands to the `medforge` command."""
    app.command()(serve)
    app.command()(log)
    app.command()(checkout)
    app.command()(methods)


def serve(
    forge: Annotated[Path, typer.Option(help="Directory of the forge; made if it is not there.", metavar="DIR")],
    base: Annotated[
        str | None,
        typer.Option(
            help="Base module: medforge-tiny, ARCH/TAG, ARCH:CHECKPOINT or hf-hub:NAME. Needed once.", metavar="SPEC"
        ),
    ] = None,
    method: Annotated[str | None, typer.Option(help="Merge method; `medforge methods` lists them.")] = None,
    level: Annotated[
        str | None, typer.Option(help="What is weighed, outputs or layers; `medforge methods` lists the choices.")
    ] = None,
    coefficients: Annotated[
        str | None, typer.Option(help="How coefficients are found; `medforge methods` lists the choices.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="What a search minimises: cross-entropy, or reference (the published scripts').")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the coefficient search.")] = None,
    listen: Annotated[str, typer.Option(help="Address to listen on; port 0 takes a free one.", metavar="HOST:PORT")] = (
        "127.0.0.1:50051"
    ),
    ready_file: Annotated[
        Path | None, typer.Option(help="Write the address into this file once serving.", metavar="PATH")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or another torch device.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Compute dtype of the base module: fp32, bf16 or fp16.")] = "fp32",
    threads: Annotated[int | None, typer.Option(help="Threads that compute.", min=1)] = None,
    ledger: LedgerOption = None,
    branch_mib: Annotated[int, typer.Option(help="Largest branch to admit, in MiB.", min=1)] = 1024,
    retry_held: Annotated[bool, typer.Option("--retry-held", help="Try to fold held arrivals again.")] = False,
) -> None:
    """Receive branches, and fold each into the main branch in the order of arrival.

    A forge keeps its base module and its merge method for good; a restart needs only --forge.
    """
    from medforge.aggregator.listening import check_free

    check_free(listen)

    import logging
    import os
    import sys

    import torch

    from medforge.aggregator.forge import Forge, Limits, existing_settings
    from medforge.aggregator.server import serve as serve_forever
    from medforge.base import load_base
    from medforge.errors import InvalidInput

    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("medforge").setLevel(logging.INFO)
    settings = existing_settings(forge)
    spec = base or (settings.base_spec if settings else None)
    if spec is None:
        raise InvalidInput(
            f"{forge} is a new forge; say on which base module it stands with --base, such as medforge-tiny"
        )
    asked = {"method": method, "level": level, "coefficients": coefficients, "objective": objective, "seed": seed}
    chosen = _method(settings, asked)
    if threads is not None:
        torch.set_num_threads(threads)
    module = load_base(spec, device, dtype)
    opened = Forge.establish(forge, module, chosen, ledger, Limits(branch=branch_mib << 20))
    try:
        if retry_held:
            for arrival in opened.ledger.holds():
                opened.ledger.release(arrival)
        serve_forever(opened, module, listen, ready_file)
    finally:
        opened.close()
    # Everything acknowledged is on disk. An ordinary exit would first join every thread that gRPC still has, and tear
    # torch down under an abandoned fold: the one may hang, the other crash.
    logging.shutdown()
    os._exit(0)


def log(
    forge: DirectoryOption = None,
    at: AddressOption = None,
    ledger: LedgerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the commits of a main branch, then what has arrived and is not in it."""
    import json

    from medforge.aggregator.view import check_chain, look

    with look(forge, at, ledger) as view:
        commits, waiting = view.commits(), view.waiting()
    check_chain(commits)
    if as_json:
        typer.echo(
            json.dumps({"commits": [_plain(c) for c in commits], "waiting": [_outside(w) for w in waiting]}, indent=2)
        )
    else:
        _print_log(commits, waiting)


def checkout(
    out: Annotated[Path, typer.Option(help="Directory to write the merged model into; new or empty.", metavar="DIR")],
    forge: DirectoryOption = None,
    at: AddressOption = None,
    ledger: LedgerOption = None,
    commit: Annotated[
        str | None,
        typer.Option(help="Commit, by its digest or the first letters of it; the head by default.", metavar="DIGEST"),
    ] = None,
) -> None:
    """Write the merged model (forge item) of a commit into a directory."""
    from medforge.aggregator.view import check_chain, choose, look
    from medforge.errors import InvalidInput

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out} is not an empty directory; give a new one with --out")
    with look(forge, at, ledger) as view:
        commits = view.commits()
        check_chain(commits)
        chosen = choose(commits, commit)
        view.item(chosen).save(out)
    typer.echo(
        f"commit {chosen.digest[:12]} (arrival {chosen.arrival}, {chosen.contributor}: {chosen.task}) is in {out}"
    )


def methods() -> None:
    """List the merge methods."""
    from rich.console import Console
    from rich.table import Column, Table

    from medforge.aggregator.merge import LISTINGS

    table = Table(
        Column("method", no_wrap=True),
        Column("level + coefficients", no_wrap=True),
        "what it does (source)",
        "cost of an image",
        caption="The first level and coefficients are the default; * gives the same for every order of arrival.",
    )
    for name, listing in sorted(LISTINGS.items()):
        modes = (" + ".join(mode) + (" *" if mode in listing.any_order else "") for mode in listing.modes)
        table.add_row(name, "\n".join(modes), f"{listing.summary} ({listing.source})", listing.inference)
    Console().print(table)


def _method(settings: "ForgeSettings | None", given: dict[str, str | int | None]) -> "MethodSettings":
    """Choose the merge settings: what the user gave, on top of what the forge was made with, on top of the defaults."""
    from medforge.aggregator.merge import MethodSettings

    kept = settings.method.model_dump() if settings and given["method"] in (None, settings.method.method) else {}
    return MethodSettings.of(**kept | {name: value for name, value in given.items() if value is not None})


def _plain(commit: "Commit") -> dict[str, object]:
    return {"digest": commit.digest, **commit.model_dump(mode="json")}


def _outside(waiting: "Waiting") -> dict[str, object]:
    from dataclasses import asdict

    state = "received" if waiting.reason is None else "held"
    return {**asdict(waiting.arrival), "state": state, "reason": waiting.reason}


def _print_log(commits: "list[Commit]", waiting: "list[Waiting]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table("arrival", "contributor", "task", "commit", "method", "accuracy on distilled data")
    for commit in commits:
        scores = ", ".join(f"{escape(task)} {score.acc:.3f}" for task, score in commit.metrics.items())
        method = f"{commit.method.method} {commit.method.level} {commit.method.coefficients}"
        table.add_row(
            str(commit.arrival), escape(commit.contributor), escape(commit.task), commit.digest[:12], method, scores
        )
    console.print(table if commits else "The main branch has no commit yet.")
    for one in waiting:
        state = "waits for its turn" if one.reason is None else f"is held: {one.reason}"
        line = f"arrival {one.arrival.number} ({one.arrival.contributor}: {one.arrival.task}) {state}"
        console.print(line, markup=False, highlight=False)
