"""`medforge serve`: the server of a forge."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from medforge.aggregator.cli import complete
from medforge.aggregator.cli.options import BaseComputeOptions, BlobsAddress, LedgerUrl, MergeOptions
from medforge.cli import complete as shared

if TYPE_CHECKING:
    from medforge.aggregator.forge.settings import ForgeSettings
    from medforge.aggregator.merge import MethodSettings
    from medforge.aggregator.page.page_server import PageServer
    from medforge.base_module import BaseModule


@dataclass(frozen=True)
class ListenOptions:
    """Say where and how the server is reached and watched."""

    PANEL: ClassVar[str] = "Serving"

    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address to listen on; port 0 takes a free one.")] = (
        "127.0.0.1:50051"
    )
    tls: Annotated[
        bool | None,
        typer.Option(
            "--tls/--plaintext",
            help="Whether callers need a kit (`medforge invite`). Default: yes, unless only this machine can call.",
        ),
    ] = None
    ready_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the address into this file once serving.")
    ] = None
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Serve Prometheus metrics too, and the probes /livez and /readyz; nobody is asked who they are there, "
            "so choose loopback.",
        ),
    ] = None
    health: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Answer gRPC's health service on a port of its own too, without a kit; choose loopback.",
        ),
    ] = None
    page: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Serve pages about the forge too, for people to look at; on another address than loopback they are "
            "asked for a token.",
        ),
    ] = None
    page_token: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ask whoever looks for the token in this file, which is made if need be."),
    ] = None
    log_format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="How to log to stderr: text, or json (one object a line).",
            autocompletion=complete.log_formats,
        ),
    ] = "text"


def serve(
    forge: Annotated[Path, typer.Option(metavar="DIR", help="Directory of the forge; made if it is not there.")],
    merging: MergeOptions,
    listening: ListenOptions,
    compute: BaseComputeOptions,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Base module: medforge-tiny, ARCH/TAG, ARCH:CHECKPOINT, hf-hub:NAME or hf-local:DIR. Needed once.",
            autocompletion=shared.bases,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the coefficient search. Default: 0.")] = None,
    ledger: LedgerUrl = None,
    blobs: BlobsAddress = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Change the policy for good, as in limits.branch=2GiB or admission.margin=0.2; repeat it.",
        ),
    ] = None,
    open_tasks: Annotated[
        bool | None,
        typer.Option(
            "--open-tasks/--declared-tasks",
            help="Whether the first branch of a task declares it, for good, or only `medforge task add` does. "
            "Default: as before; a new forge waits for `medforge task add`.",
        ),
    ] = None,
    tombstones: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where withdrawals and revocations are kept apart from the forge, for good, so that no restore of a "
            "backup undoes them. Default: DIR.tombstones, beside DIR.",
        ),
    ] = None,
    retry_held: Annotated[bool, typer.Option("--retry-held", help="Examine and fold held arrivals again.")] = False,
) -> None:
    """Receive branches, and fold each into the main branch in the order of arrival.

    A forge keeps its base module and its merge method for good, and its policy (policy.json) until it is changed;
    a restart needs only --forge. A branch is held until its task is declared.

    Examples:
        medforge serve --forge forge --base medforge-tiny --listen 0.0.0.0:50051
        medforge serve --forge forge --base medforge-tiny --open-tasks
        medforge serve --forge forge --policy limits.branch=2GiB
    """
    from medforge.aggregator.forge.policy import change, policy_to_serve
    from medforge.aggregator.forge.settings import existing_settings
    from medforge.base_check import check_base
    from medforge.errors import InvalidInput

    _end_on_sigterm()
    _check_places(listening)
    token = _check_page(listening)
    settings = existing_settings(forge)
    spec = base or (settings.base_spec if settings else None)
    if spec is None:
        raise InvalidInput(
            f"{forge} is a new forge; say on which base module it stands with --base, such as medforge-tiny"
        )
    asked = [] if open_tasks is None else [f"tasks.open={open_tasks}"]
    rules = change(policy_to_serve(forge, new=settings is None), [*(policy or []), *asked])
    check_base(spec, compute.device, compute.dtype)
    chosen = _method(settings, merging, seed)

    # what follows takes seconds to import, and nothing was wrong so far
    import logging
    import os

    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.ledger.task_table import TaskTable
    from medforge.aggregator.logs import configure
    from medforge.aggregator.server.server import serve as serve_forever
    from medforge.base import load_base
    from medforge.cli.failures import report

    configure(listening.log_format)
    compute.use_threads()
    module = load_base(spec, compute.device, compute.dtype)
    _upgrade(forge, ledger, settings, module, chosen)
    opened = Forge.establish(forge, module, chosen, ledger, rules, blobs)
    try:
        if tombstones is not None:
            opened.place_tombstones(tombstones)
        if retry_held:
            for arrival in opened.ledger.holds():
                opened.ledger.release(arrival)
        if rules.tasks.open:
            TaskTable(opened.ledger).release()
        pages = _pages(forge, ledger, listening.page, token) if listening.page else None
        served = (listening.listen, listening.ready_file, listening.tls, listening.metrics, pages, listening.health)
        serve_forever(opened, module, *served)
        code = 0
    except Exception as error:
        code = report(error, as_json=False)
    finally:
        opened.close()
    # Everything acknowledged is on disk. An ordinary exit would first join every thread that gRPC still has, and tear
    # torch down under an abandoned fold: the one may hang, the other crash.
    logging.shutdown()
    os._exit(code)


def _upgrade(
    forge: Path, ledger: str | None, settings: ForgeSettings | None, base: BaseModule, method: MethodSettings
) -> None:
    """Bring a forge of an earlier version to this one, once it is known that it would be served."""
    import logging

    from medforge.aggregator.cli.upgrade import sentence
    from medforge.aggregator.forge.settings import check_same
    from medforge.aggregator.upgrade.upgrading import upgrade

    if settings is None:
        return
    check_same(forge, settings, base, method)
    if (done := upgrade(forge, ledger)).due:
        logging.getLogger(__name__).warning("%s", sentence(done))


def _end_on_sigterm() -> None:
    """End at once where SIGTERM comes before anything is served, as by SIGKILL, which loses nothing either.

    The first process of a container has no default for a signal: without a handler the start would go on.
    """
    import os
    import signal

    signal.signal(signal.SIGTERM, lambda _signal, _frame: os._exit(0))


def _check_places(listening: ListenOptions) -> None:
    """Raise InvalidInput where an address is taken or the ready file cannot be written."""
    from medforge.aggregator.server.port_check import check_free
    from medforge.files import check_results

    check_results([listening.ready_file])
    check_free(listening.listen)
    for option, address in (("--metrics", listening.metrics), ("--health", listening.health)):
        if address is not None:
            check_free(address, option)


def _check_page(listening: ListenOptions) -> str | None:
    """Return the token that pages ask for, if any; raise InvalidInput where they cannot or should not be served."""
    from medforge.aggregator.page.door import check_door, token_in
    from medforge.aggregator.server.port_check import check_free
    from medforge.errors import InvalidInput

    if listening.page is None:
        if listening.page_token is not None:
            raise InvalidInput("--page-token is for pages, and none are served; say where with --page HOST:PORT")
        return None
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise InvalidInput(f"live pages need {' and '.join(missing)}; install them with pip install 'medforge[page]'")
    check_door(listening.page, listening.page_token)
    check_free(listening.page, "--page")
    return None if listening.page_token is None else token_in(listening.page_token)


def _pages(forge: Path, ledger: str | None, listen: str, token: str | None) -> PageServer:
    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.page.page_server import PageServer

    return PageServer(Forge.open(forge, ledger), listen, token)


def _method(settings: ForgeSettings | None, merging: MergeOptions, seed: int | None) -> MethodSettings:
    """Choose the merge settings: what the user gave, on top of what the forge was made with, on top of the defaults."""
    from medforge.aggregator.merge.choosing import choose_settings, completed, parse_parameters

    given: dict[str, str | int | None] = {
        "method": merging.merge,
        **merging.mode(),
        "weights": merging.weights,
        "seed": seed,
    }
    parameters = merging.parameter or []
    on_record = settings.method if settings and given["method"] in (None, settings.method.method) else None
    if on_record and not parameters and all(value is None for value in given.values()):
        return completed(on_record)
    kept = completed(on_record).model_dump() if on_record else {}
    chosen = kept | {name: value for name, value in given.items() if value is not None}
    chosen["parameters"] = kept.get("parameters", {}) | parse_parameters(parameters)
    return choose_settings(**chosen)
