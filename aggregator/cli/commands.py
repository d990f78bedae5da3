"""The aggregator's commands: serve, log, checkout, methods; what a maintainer decides is in `maintain`."""

# No `from __future__ import annotations` here: typer reads the annotations when a command is registered.
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.aggregator.cli import identity, maintain
from medforge.errors import printable

if TYPE_CHECKING:
    from medforge.aggregator.forge.settings import ForgeSettings
    from medforge.aggregator.ledger.commit import Commit
    from medforge.aggregator.ledger.records import Arrival
    from medforge.aggregator.merge import MethodSettings

DirectoryOption = Annotated[Path | None, typer.Option("--forge", help="Directory of the forge.", metavar="DIR")]
AddressOption = Annotated[str | None, typer.Option("--at", help="Address of the forge.", metavar="HOST:PORT")]
KitOption = Annotated[Path | None, typer.Option("--kit", help="A contributor's startup kit.", metavar="DIR")]
PlaintextOption = Annotated[bool, typer.Option("--plaintext", help="Call without TLS.")]
LedgerOption = Annotated[
    str | None, typer.Option(help="SQLAlchemy URL of the ledger, if it is not in the forge directory.", metavar="URL")
]


_DONE = {"remove": "removed", "restore": "restored"}


def register(app: typer.Typer) -> None:
    """Add the aggregator's commands to the `medforge` command."""
    app.command()(serve)
    app.command()(log)
    app.command()(checkout)
    app.command()(methods)
    maintain.register(app)
    identity.register(app)


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
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            help="Set a parameter of the merge method, as in energy=0.99; repeat it.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the coefficient search.")] = None,
    listen: Annotated[str, typer.Option(help="Address to listen on; port 0 takes a free one.", metavar="HOST:PORT")] = (
        "127.0.0.1:50051"
    ),
    tls: Annotated[
        bool | None,
        typer.Option(
            "--tls/--plaintext",
            help="Whether callers need a kit (`medforge invite`). Default: yes, unless only this machine can call.",
        ),
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write the address into this file once serving.", metavar="PATH")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or another torch device.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Compute dtype of the base module: fp32, bf16 or fp16.")] = "fp32",
    threads: Annotated[int | None, typer.Option(help="Threads that compute.", min=1)] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Serve Prometheus metrics too; nobody is asked who they are there, so choose loopback.",
            metavar="HOST:PORT",
        ),
    ] = None,
    log_format: Annotated[str, typer.Option(help="How to log to stderr: text, or json (one object a line).")] = "text",
    ledger: LedgerOption = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the policy for good, e.g. limits.branch=2GiB or admission.margin=0.2."),
    ] = None,
    retry_held: Annotated[bool, typer.Option("--retry-held", help="Examine and fold held arrivals again.")] = False,
) -> None:
    """Receive branches, and fold each into the main branch in the order of arrival.

    A forge keeps its base module and its merge method for good, and its policy (policy.json) until it is changed;
    a restart needs only --forge.
    """
    from medforge.aggregator.server.port_check import check_free

    check_free(listen)

    import logging
    import os

    import torch

    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.forge.policy import change, load_policy
    from medforge.aggregator.forge.settings import existing_settings
    from medforge.aggregator.logs import configure
    from medforge.aggregator.server.server import serve as serve_forever
    from medforge.base import load_base
    from medforge.errors import InvalidInput

    configure(log_format)
    settings = existing_settings(forge)
    spec = base or (settings.base_spec if settings else None)
    if spec is None:
        raise InvalidInput(
            f"{forge} is a new forge; say on which base module it stands with --base, such as medforge-tiny"
        )
    asked = {"method": method, "level": level, "coefficients": coefficients, "objective": objective, "seed": seed}
    chosen = _method(settings, asked, parameters or [])
    policy = change(load_policy(forge), changes or [])
    if threads is not None:
        torch.set_num_threads(threads)
    module = load_base(spec, device, dtype)
    opened = Forge.establish(forge, module, chosen, ledger, policy)
    try:
        if retry_held:
            for arrival in opened.ledger.holds():
                opened.ledger.release(arrival)
        serve_forever(opened, module, listen, ready_file, tls, metrics)
    finally:
        opened.close()
    # Everything acknowledged is on disk. An ordinary exit would first join every thread that gRPC still has, and tear
    # torch down under an abandoned fold: the one may hang, the other crash.
    logging.shutdown()
    os._exit(0)


def log(
    forge: DirectoryOption = None,
    at: AddressOption = None,
    kit: KitOption = None,
    plaintext: PlaintextOption = False,
    ledger: LedgerOption = None,
    held: Annotated[bool, typer.Option("--held", help="List only what is held, and why.")] = False,
    journal: Annotated[
        bool, typer.Option("--journal", help="List everything that happened (the audit log); needs --forge.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the commits of a main branch, then the arrivals that are not in it."""
    import json

    from medforge.aggregator.forge.reader import check_chain, open_reader
    from medforge.proto.connection import Connection

    if journal:
        _log_journal(forge, at, ledger, as_json)
        return
    with open_reader(forge, Connection.if_asked(at, kit, plaintext), ledger) as view:
        commits, outside = view.commits(), view.outside()
    check_chain(commits)
    if held:
        commits, outside = [], [one for one in outside if one.state == "held"]
    if as_json:
        typer.echo(
            json.dumps({"commits": [_plain(c) for c in commits], "outside": [_outside(o) for o in outside]}, indent=2)
        )
    elif held and not outside:
        typer.echo("nothing is held")
    else:
        _print_log(commits, outside, empty=not held)


def checkout(
    out: Annotated[Path, typer.Option(help="Directory to write the merged model into; new or empty.", metavar="DIR")],
    forge: DirectoryOption = None,
    at: AddressOption = None,
    kit: KitOption = None,
    plaintext: PlaintextOption = False,
    ledger: LedgerOption = None,
    commit: Annotated[
        str | None,
        typer.Option(help="Commit, by its digest or the first letters of it; the head by default.", metavar="DIGEST"),
    ] = None,
) -> None:
    """Write the merged model (forge item) of a commit into a directory."""
    from medforge.aggregator.forge.reader import check_chain, choose_commit, open_reader
    from medforge.errors import InvalidInput
    from medforge.proto.connection import Connection

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out} is not an empty directory; give a new one with --out")
    with open_reader(forge, Connection.if_asked(at, kit, plaintext), ledger) as view:
        commits = view.commits()
        check_chain(commits)
        chosen = choose_commit(commits, commit)
        view.item(chosen).save(out)
    typer.echo(
        printable(
            f"commit {chosen.digest[:12]} (arrival {chosen.arrival}, {chosen.contributor}: {chosen.task}) is in {out}"
        )
    )


def methods(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """List the merge methods, also those of installed packages."""
    from medforge.aggregator.cli.methods_table import as_plain, print_tables

    if as_json:
        import json

        typer.echo(json.dumps(as_plain(), indent=2, ensure_ascii=False))
    else:
        print_tables()


def _method(
    settings: "ForgeSettings | None", given: dict[str, str | int | None], parameters: list[str]
) -> "MethodSettings":
    """Choose the merge settings: what the user gave, on top of what the forge was made with, on top of the defaults."""
    from medforge.aggregator.merge.choosing import choose_settings, completed, parse_parameters

    on_record = settings.method if settings and given["method"] in (None, settings.method.method) else None
    if on_record and not parameters and all(value is None for value in given.values()):
        return completed(on_record)
    kept = completed(on_record).model_dump() if on_record else {}
    chosen = kept | {name: value for name, value in given.items() if value is not None}
    chosen["parameters"] = kept.get("parameters", {}) | parse_parameters(parameters)
    return choose_settings(**chosen)


def _plain(commit: "Commit") -> dict[str, object]:
    return {"digest": commit.digest, **commit.model_dump(mode="json")}


def _outside(arrival: "Arrival") -> dict[str, object]:
    from dataclasses import asdict

    values = asdict(arrival)
    del values["signature"]
    return values


def _log_journal(forge: Path | None, at: str | None, ledger: str | None, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from medforge.aggregator.forge.forge import Forge
    from medforge.errors import InvalidInput

    if forge is None or at is not None:
        raise InvalidInput("the journal is read where the forge lies; give its directory with --forge")
    opened = Forge.open(forge, ledger)
    try:
        for entry in opened.ledger.journal():
            line = printable(f"{entry.number:6} {entry.at} {entry.actor}: {entry.what} {entry.about}")
            typer.echo(json.dumps(asdict(entry)) if as_json else line)
    finally:
        opened.close()


def _print_log(commits: "list[Commit]", outside: "list[Arrival]", empty: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table("arrival", "contributor", "task", "commit", "method", "accuracy on distilled data")
    for commit in commits:
        scores = ", ".join(f"{escape(printable(task))} {score.acc:.3f}" for task, score in commit.metrics.items())
        method = escape(f"{commit.method.method} {commit.method.level} {commit.method.coefficients}")
        what = "" if commit.kind == "fold" else f" ({_DONE[commit.kind]})"
        table.add_row(
            f"{commit.arrival}{what}",
            escape(printable(commit.contributor)),
            escape(printable(commit.task)),
            commit.digest[:12],
            method,
            scores,
        )
    if commits or empty:
        console.print(table if commits else "The main branch has no commit yet.")
    for one in outside:
        state = "waits for its turn" if one.state == "received" else f"is {one.state.value}: {one.reason}"
        line = f"arrival {one.number} ({one.contributor}: {one.task}) {state}{' (erased)' if one.erased else ''}"
        console.print(printable(line), markup=False, highlight=False)
