"""`medforge diff`: what differs between two commits."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medforge.aggregator.cli.options import COMMIT_HELP, OptionalCommit, ReaderOptions
from medforge.aggregator.cli.plain import plain_arrival
from medforge.cli import complete as shared
from medforge.cli.compute import ComputeOptions
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from medforge.aggregator.forge.commit_difference import CommitDifference
    from medforge.aggregator.forge.model_difference import NetworkDifference
    from medforge.aggregator.forge.reader import ForgeReader
    from medforge.aggregator.forge.rounds import Round
    from medforge.aggregator.ledger.records import Arrival
    from medforge.forge_item import ForgeItem


def diff(
    source: ReaderOptions,
    compute: ComputeOptions,
    before: Annotated[str, typer.Argument(metavar="A", help=COMMIT_HELP)],
    after: OptionalCommit = None,
    weights: Annotated[
        bool, typer.Option("--weights/--no-weights", help="Compare the networks too, which loads both and the base.")
    ] = True,
    base: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Base module. Default: the forge's.", autocompletion=shared.bases),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two commits: tasks, members, classes, scores, and how far the weights moved layer by layer.

    Examples:
        medforge diff v1.0 --forge forge
        medforge diff 1f0c9a2b 7 --kit kit --no-weights
    """
    from medforge.aggregator.forge.commit_difference import compare_commits
    from medforge.aggregator.forge.names import stable_or_named
    from medforge.aggregator.forge.rounds import round_of

    with source.opened() as reader:
        names, tags, stable = reader.display_names(), reader.tags(), reader.reviews().stable
        old, new = (round_of(stable_or_named(reader, name, tags, stable), reader) for name in (before, after))
        arrivals = reader.arrivals_by_number({*old.commit.members, *new.commit.members})
        networks, classes, missing = (
            _compare_items(reader, old, new, source.forge, base, compute) if weights else _NOTHING
        )
    found = compare_commits(old, new, arrivals, classes)
    if as_json:
        say_json(_plain(found, networks, missing, arrivals, names))
    else:
        _say(found, networks, missing, arrivals, names)


_Compared = tuple["Mapping[str, NetworkDifference] | None", Mapping[str, Mapping[str, list[str]]], str]
_NOTHING: _Compared = (None, {}, "")


def _compare_items(
    reader: ForgeReader, old: Round, new: Round, forge: Path | None, spec: str | None, compute: ComputeOptions
) -> _Compared:
    """Compare two commits' items: the networks, the classes, and in a sentence why not where one is gone."""
    from medforge.aggregator.forge.model_difference import class_differences, weight_differences
    from medforge.base import load_base
    from medforge.errors import InvalidInput
    from medforge.proto.errors import NotFound

    try:
        items: list[ForgeItem | None] = [
            None if one.commit.item is None else reader.item(one.commit) for one in (old, new)
        ]
    except NotFound as error:
        return None, {}, str(error)
    compute.use_threads()
    module = load_base(spec or _spec(reader, forge), compute.device)
    if module.fingerprint != new.commit.base:
        raise InvalidInput(
            f"{module.spec} is another base module than the forge's {new.commit.base[:12]}; give its own with --base"
        )
    return weight_differences(module, *items), class_differences(*items), ""


def _spec(reader: ForgeReader, forge: Path | None) -> str:
    from medforge.aggregator.forge.settings import read_settings
    from medforge.errors import InvalidInput

    if forge is not None:
        return read_settings(forge).base_spec
    base = reader.identity().base
    if not base.findable:
        raise InvalidInput(
            f"the forge stands on {base.spec}, a file that is not named by where it lies; give it with --base "
            "ARCH:CHECKPOINT_PATH, or leave the weights out with --no-weights"
        )
    return base.spec


def _say(
    found: CommitDifference,
    networks: Mapping[str, NetworkDifference] | None,
    missing: str,
    arrivals: Mapping[int, Arrival],
    names: Mapping[str, str],
) -> None:
    from medforge.aggregator.cli.diff_lines import diff_lines, weight_lines
    from medforge.cli.lines import flow

    width = shutil.get_terminal_size().columns
    for line in diff_lines(found, arrivals, names, width):
        typer.echo(line)
    if networks is not None or missing:
        typer.echo()
    for line in weight_lines(networks, width) if networks is not None else flow((missing,), width, 0):
        typer.echo(line)


def _plain(
    found: CommitDifference,
    networks: Mapping[str, NetworkDifference] | None,
    missing: str,
    arrivals: Mapping[int, Arrival],
    names: Mapping[str, str],
) -> dict[str, Any]:
    ends = {
        name: {"digest": one.commit.digest, "number": one.number, "item": one.commit.item}
        for name, one in (("from", found.before), ("to", found.after))
    }
    members = {
        name: [plain_arrival(arrivals[number], names) for number in numbers]
        for name, numbers in (("came", found.came), ("left", found.left))
    }
    scores = {
        task: [None if score is None else score.model_dump() for score in pair] for task, pair in found.scores.items()
    }
    return {
        **ends,
        "tasks": {"came": found.tasks_came, "left": found.tasks_left},
        "members": members,
        "classes": None if networks is None else found.classes,
        "metrics": {task: {"before": old, "after": new} for task, (old, new) in scores.items()},
        "weights": None if networks is None else {name: _plain_network(one) for name, one in networks.items()},
        "weights_missing": missing or None,
    }


def _plain_network(one: NetworkDifference) -> dict[str, Any]:
    if one.state != "changed":
        return {"state": one.state}
    return {
        "state": one.state,
        "relative": one.relative,
        "sites": {site: distance.relative for site, distance in one.sites.items()},
    }
