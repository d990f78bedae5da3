"""Options that the aggregator's commands share, in groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from medforge.aggregator.cli import complete
from medforge.cli import complete as shared
from medforge.cli.compute import ComputeOptions
from medforge.proto.options import ConnectionOptions

if TYPE_CHECKING:
    from medforge.aggregator.forge.reader import ForgeReader

ForgeDirectory = Annotated[Path, typer.Option("--forge", metavar="DIR", help="Directory of the forge.")]


def _ledger_address(ctx: typer.Context, option: typer.CallbackParam, given: str | None) -> str | None:
    """Return the URL that is given or stands in the file that is; warns of a password that every user here can read."""
    if given is None or ctx.resilient_parsing:
        return None
    from click.core import ParameterSource

    from medforge.aggregator.ledger.address import given_address, holds_password

    typed = ctx.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
    if typed and holds_password(given):
        typer.echo(
            "everybody on this machine can read the password on this command line (ps shows it); write the address "
            "into a file of yours alone and give --ledger file:PATH, or set MEDFORGE_LEDGER",
            err=True,
        )
    return given_address(given)


LedgerUrl = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="URL",
        help="SQLAlchemy URL of the ledger, if it is not in the forge's directory; file:PATH reads it from a file. "
        "Default: the variable MEDFORGE_LEDGER, which takes the same.",
        envvar="MEDFORGE_LEDGER",
        callback=_ledger_address,
    ),
]


def _blobs_address(ctx: typer.Context, given: str | None) -> str | None:
    """Return the address that is given, in one spelling; raises InvalidInput for what is none."""
    if given is None or ctx.resilient_parsing:
        return None
    from medforge.aggregator.blobs.address import parse_blob_address

    return str(parse_blob_address(given))


BlobsAddress = Annotated[
    str | None,
    typer.Option(
        "--blobs",
        metavar="s3://BUCKET/PREFIX",
        help="Keep the blobs in S3, not in the forge's directory, for good: said once, when the forge is made or "
        "restored. Endpoint and credentials come from AWS's variables and files. Default: the variable MEDFORGE_BLOBS.",
        envvar="MEDFORGE_BLOBS",
        callback=_blobs_address,
    ),
]
BranchName = Annotated[
    str,
    typer.Argument(
        metavar="BRANCH", help="Arrival number, task, or the branch's digest or the first 8 or more letters of it."
    ),
]
COMMIT_HELP = (
    "stable (the newest that sites have reviewed), head (the newest), a tag, the commit's digest or the first 8 or "
    "more letters of it, its arrival's number, or its task."
)
OptionalCommit = Annotated[str | None, typer.Argument(metavar="COMMIT", help=f"{COMMIT_HELP} Default: stable.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the journal, and shown to the contributor.")]


@dataclass(frozen=True)
class ReaderOptions(ConnectionOptions):
    """Say which forge is read: a directory on this machine, or one that is served somewhere."""

    forge: Annotated[Path | None, typer.Option(metavar="DIR", help="Directory of the forge, where it lies.")] = None
    ledger: LedgerUrl = None

    @contextmanager
    def opened(self) -> Iterator[ForgeReader]:
        """Open the forge for reading, and say on stderr what is to be told of it before anything else."""
        from medforge.aggregator.forge.reader import open_reader

        with open_reader(self.forge, self.connection_if_asked(), self.ledger) as reader:
            for line in reader.said():
                typer.echo(line, err=True)
            yield reader


@dataclass(frozen=True)
class _NamedMethod:
    """Name the merge method."""

    merge: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD", help="Merge method; `medforge methods` lists them.", autocompletion=complete.merge_methods
        ),
    ] = None


@dataclass(frozen=True)
class ModeOptions:
    """Say how a merge method does its work."""

    PANEL: ClassVar[str] = "Merging"

    level: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL",
            help="What is weighed, output or layer; `medforge methods` lists the choices.",
            autocompletion=complete.levels,
        ),
    ] = None
    coefficients: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="How coefficients are found; `medforge methods` lists the choices.",
            autocompletion=complete.coefficients,
        ),
    ] = None
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="What a search minimises: cross-entropy (default), or reference (the published scripts').",
            autocompletion=complete.objectives,
        ),
    ] = None
    sample: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Branches whose distilled images a sequential search looks at, so that an arrival's cost is bounded; "
            "0 for all (default).",
        ),
    ] = None
    scaling: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Size of what a method without a search made: given (default), or distilled (chosen on images).",
            autocompletion=complete.scalings,
        ),
    ] = None
    parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Set a parameter of the merge method, as in energy=0.99; repeat it."),
    ] = None
    expert: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="How routed merges the branches of one task: mean (weighted by images), sites (each keeps its plugin, "
            "an image goes to the nearest), or a method that makes one network, such as ties.",
            autocompletion=complete.rules,
        ),
    ] = None

    def mode(self) -> dict[str, str | int | None]:
        """Return what was given, by the names of the merge settings; the parameters are apart."""
        return {
            "level": self.level,
            "coefficients": self.coefficients,
            "objective": self.objective,
            "sample": self.sample,
            "expert": self.expert,
            "scaling": self.scaling,
        }


# the fields of the last base come first: the method's name before its mode
@dataclass(frozen=True)
class MergeOptions(ModeOptions, _NamedMethod):
    """Say how branches are merged; kept with the forge, so needed only the first time."""

    weights: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="How much a branch counts in a method without a search: equal (default), or images (as many).",
            autocompletion=complete.weights,
        ),
    ] = None


@dataclass(frozen=True)
class BaseComputeOptions(ComputeOptions):
    """Say what computes, and as what the base module does."""

    dtype: Annotated[
        str,
        typer.Option(
            metavar="DTYPE",
            help="Compute dtype of the base module: fp32, bf16 or fp16.",
            autocompletion=shared.dtypes,
        ),
    ] = "fp32"
