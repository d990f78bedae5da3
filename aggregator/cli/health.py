"""`medforge health`: whether a forge that serves is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHECK = 13


def health(
    at: Annotated[
        str,
        typer.Argument(metavar="HOST:PORT", help="Where the forge answers probes: what `serve --metrics` was given."),
    ],
    live: Annotated[
        bool, typer.Option("--live", help="Ask only for what a restart would mend (/livez), not whether it is ready.")
    ] = False,
    seconds: Annotated[float, typer.Option(metavar="N", min=0.1, help="How long to wait for the answer.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Ask a forge that serves whether it is ready for calls; ends with 1 where it is not.

    It needs no kit and no forge directory, so a container or a load balancer can run it.

    Examples:
        medforge health 127.0.0.1:9464
        medforge health 127.0.0.1:9464 --live
    """
    answer = _ask(at, "/livez" if live else "/readyz", seconds)
    if as_json:
        say_json(answer)
    else:
        for line in _lines(answer):
            typer.echo(line)
    if not answer["ok"]:
        raise typer.Exit(1)


def _ask(at: str, path: str, seconds: float) -> dict[str, Any]:
    import http.client
    import json
    from contextlib import closing

    from medforge.errors import ForgeUnavailable
    from medforge.proto.address import split_address

    host, port = split_address(at)
    try:
        # not urllib, which would send a probe of this machine through the proxy of the environment
        with closing(http.client.HTTPConnection(host.strip("[]"), port, timeout=seconds)) as connection:
            connection.request("GET", path)
            answer = json.loads(connection.getresponse().read(1 << 20))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ForgeUnavailable(
            f"no forge answers probes at {at} ({error or type(error).__name__}); see that it serves with --metrics {at}"
        ) from error
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool) or not _all_checks(answer.get("checks")):
        raise ForgeUnavailable(f"what answers at {at} is no forge; give the address of `medforge serve --metrics`")
    return answer


def _all_checks(found: object) -> bool:
    fields = {"name", "ok", "says"}
    return isinstance(found, list) and all(isinstance(one, dict) and fields <= one.keys() for one in found)


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    from medforge.errors import printable

    for check in answer["checks"]:
        name, says = printable(str(check["name"])), printable(str(check["says"]))
        yield f"{name:{_CHECK}} {'ok' if check['ok'] else 'problem':8} {says}"
