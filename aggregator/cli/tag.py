"""`medforge tag` and `medforge release`: names for commits, signed and for good."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.aggregator.cli.log_lines import refused_lines
from medforge.aggregator.cli.options import ForgeDirectory, LedgerUrl, OptionalCommit, ReaderOptions
from medforge.aggregator.cli.plain import plain_refused
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from medforge.aggregator.ledger.commit import Commit
    from medforge.proto.signed_tag import SignedTag

_INDENT = 4


def tag(
    source: ReaderOptions,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="What the commit is to be called.")] = None,
    commit: OptionalCommit = None,
    listed: Annotated[bool, typer.Option("--list", help="List the tags and releases instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give a commit a name, signed and for good; --list lists the names.

    The name may stand wherever a commit is named. It cannot be moved or used again. Only the list works over an
    address.

    Examples:
        medforge tag before-audit 1f0c9a2b --forge forge
        medforge tag --list --kit kit
    """
    from medforge.errors import InvalidInput

    if listed:
        if name is not None:
            raise InvalidInput("--list takes no name; leave out one of the two")
        _list(source, as_json)
        return
    if name is None:
        raise InvalidInput("no name is given; give NAME and COMMIT, or --list")
    if source.forge is None or source.at is not None or source.kit is not None:
        raise InvalidInput("a tag is given where the forge lies; give its directory with --forge")
    _give(name, commit, source, as_json)


def release(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the release is to be called, such as v1.0.")],
    forge: ForgeDirectory,
    commit: OptionalCommit = None,
    notes: Annotated[str, typer.Option(metavar="TEXT", help="What to say of it to whoever uses it.")] = "",
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Recommend a commit under a name, signed and for good.

    A release is a tag that says: use this one. It cannot be moved or used again.

    Examples:
        medforge release v1.0 --forge forge --notes "reviewed by three sites"
        medforge release v1.1 1f0c9a2b --forge forge
    """
    _give(name, commit, ReaderOptions(forge=forge, ledger=ledger), as_json, released=True, notes=notes)


def tag_lines(tags: Mapping[str, SignedTag], commits: Mapping[str, Commit], width: int) -> list[str]:
    """Return the tags, oldest first: name, commit, when, whether it is a release, whose arrival; then the notes."""
    from medforge.cli.lines import flow

    lines: list[str] = []
    for one in tags.values():
        about = commits.get(one.commit)
        of = "which is not on this main branch" if about is None else f"arrival {about.arrival}: {about.task}"
        kind = "release" if one.release else "tag"
        lines += flow((one.name, one.commit[:8], one.tagged_at[:10], kind, of), width, _INDENT)
        for line in one.notes.splitlines():
            lines += flow((" " * _INDENT + line,), width, _INDENT)
    return lines


def _list(source: ReaderOptions, as_json: bool) -> None:
    from medforge.aggregator.ledger.log_page import commit_of

    with source.opened() as reader:
        tags = reader.tags()
        found = [commit_of(reader, one.commit) for one in tags.values()]
    commits = {one.digest: one for one in found if one is not None}
    if as_json:
        say_json({"tags": [one.model_dump(mode="json") for one in tags.values()], **plain_refused(tags)})
        return
    for line in refused_lines(tags):
        typer.echo(line, err=True)
    for line in tag_lines(tags, commits, shutil.get_terminal_size().columns):
        typer.echo(line)
    if not tags:
        typer.echo("no commit has a tag yet; `medforge tag NAME COMMIT --forge DIR` gives one")


def _give(
    name: str, commit: str | None, source: ReaderOptions, as_json: bool, released: bool = False, notes: str = ""
) -> None:
    from medforge.aggregator.cli.maintain import opened_forge
    from medforge.aggregator.forge.tagging import tag_commit

    assert source.forge is not None
    with opened_forge(source.forge, source.ledger) as forge:
        signed = tag_commit(forge, name, commit, released, notes)
    if as_json:
        say_json(signed.model_dump(mode="json"))
    else:
        what = "release" if released else "tag"
        typer.echo(f"{what} {signed.name} names commit {signed.commit[:8]}, signed by the forge, for good")
