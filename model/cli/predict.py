"""`medforge predict`: images in, answers out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.cli import complete as shared
from medforge.cli.compute import ComputeOptions
from medforge.cli.output import AsJson
from medforge.proto.options import ConnectionOptions

if TYPE_CHECKING:
    from medforge.model.answering import Answering


def predict(
    source: ConnectionOptions,
    compute: ComputeOptions,
    named: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] IMAGES...",
            help="The model (a checkout, a forge's directory or an ONNX export; none with --kit or --at), then images: "
            "files, folders, tables with a column image, or - for paths on stdin.",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the answers as CSV, a row an image.")] = None,
    gallery: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page of the images, the least certain first.")
    ] = None,
    top: Annotated[int, typer.Option(metavar="K", help="How many classes each answer ranks.")] = 1,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Ask this task alone.")] = None,
    threshold: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="An image further off than this share of the sites' own is none of these: up to .99, or 1 for never.",
        ),
    ] = 0.95,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Name images that cannot be read, and go on without them.")
    ] = False,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="C,W",
            help="Of images of more than 8 bits: centre and width of what becomes black to white, full, or auto.",
        ),
    ] = None,
    megapixels: Annotated[
        int, typer.Option(metavar="N", min=1, help="The most pixels of an image, in millions.")
    ] = 180,
    commit: Annotated[
        str | None,
        typer.Option(metavar="COMMIT", help="Of a forge: which commit. Default: stable, the newest reviewed."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="Base module. Default: the one that the model names.", autocompletion=shared.bases
        ),
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(metavar="DTYPE", help="What the network computes in: fp32 or bf16.", autocompletion=shared.dtypes),
    ] = "fp32",
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE",
            help="torch, or onnx or openvino, which are faster on a CPU. Default: torch; of an ONNX export, onnx.",
        ),
    ] = None,
    expert_memory: Annotated[
        int | None,
        typer.Option(
            metavar="MB", min=0, help="Most memory for merged experts, in MB. Default: a quarter of what is free."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say of images which task and class they are likeliest to be, or that they are none of these.

    Examples:
        medforge predict merged scans/ --csv answers.csv
        medforge predict --kit kit scan.png --top 3
    """
    from medforge.client.data.pixels.window import parse_window
    from medforge.errors import InvalidInput
    from medforge.files import check_results
    from medforge.model.checks import check_threshold, check_top, runs_graph
    from medforge.model.inputs import find_images

    check_threshold(threshold)
    check_top(top)
    chosen = None if window is None else parse_window(window)
    connection = source.connection_if_asked()
    words = list(named or ())
    if connection is None and not words:
        raise InvalidInput("no model is named; give a checkout, a forge's directory, or a forge's --kit")
    where = None if connection is not None else Path(words.pop(0))
    paths = find_images(words)
    check_results([csv, gallery], [*paths, *map(Path, words)])

    from medforge.client.data.pixels.reading import Reading
    from medforge.model.prediction_run import PredictionRun

    compute.use_threads()
    model: Answering
    if runs_graph(engine, where):
        from medforge.model.engines.onnx import OnnxModel

        assert where is not None, "only a directory is a graph"
        model = OnnxModel(where, compute.threads or 0)
    else:
        from medforge.model.opening import open_model

        model = open_model(
            where,
            connection,
            commit=commit,
            base=base,
            device=compute.device,
            dtype=dtype,
            memory=expert_memory,
            engine=engine or "torch",
        )
    run = PredictionRun(
        model,
        paths,
        top=top,
        task=task,
        threshold=threshold,
        skip_bad=skip_bad,
        reading=Reading(chosen, megapixels),
    )
    run.write(csv, gallery, as_json)
