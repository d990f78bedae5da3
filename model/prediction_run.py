"""One run of predictions over files: answers as they come, a summary at the end."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from medforge.client.data.pixels.reading import PLAIN, Reading
from medforge.errors import InvalidInput, printable
from medforge.files import path_text, write_atomically, written_whole
from medforge.model.answering import BATCH, Answering
from medforge.model.answers import CsvAnswers, JsonAnswers, Summary, answer
from medforge.model.decoding import Decoded, check_headers, decode_ahead
from medforge.model.gallery import Gallery
from medforge.prediction import Prediction
from medforge.progress import Progress

_LISTED = 20
_WIDE = 110


class PredictionRun:
    """Ask a model about files; nothing is kept but the summary, the first few answers and what the gallery shows."""

    def __init__(
        self,
        model: Answering,
        paths: Sequence[Path],
        *,
        top: int,
        task: str | None,
        threshold: float,
        skip_bad: bool,
        reading: Reading = PLAIN,
    ) -> None:
        self._model = model
        self._paths = paths
        self._reading = reading
        self._ask = partial(model.stream, top=top, task=task, threshold=threshold)
        self._top = top
        self._skip_bad = skip_bad
        self._skipped: list[str] = []
        self._first: list[tuple[str, Prediction]] = []
        self._summary = Summary()

    def write(self, csv: Path | None, gallery: Path | None, as_json: bool) -> None:
        """Answer every image, write what was asked for, and say the summary; whole files or none.

        Raises InvalidInput or CorruptFile for the first image that cannot be read, unless bad ones are skipped, and
        where no image could be read at all.
        """
        if not self._skip_bad:
            try:
                check_headers(self._paths, self._reading)
            except InvalidInput as error:
                raise _skippable(error) from error
        page = Gallery(self._model) if gallery is not None else None
        with ExitStack() as stack:
            table = stack.enter_context(written_whole(csv)) if csv is not None else None
            rows = CsvAnswers(table, self._model, self._top) if table is not None else None
            document = JsonAnswers(sys.stdout, self._model) if as_json else None
            for found, prediction in self._answers():
                name = path_text(found.path)
                self._summary.add(prediction)
                if rows is not None:
                    rows.write(name, prediction)
                if document is not None:
                    document.write(name, prediction)
                if page is not None and found.pixels is not None:
                    page.add(name, found.pixels, prediction)
                if len(self._first) < _LISTED + 1:
                    self._first.append((name, prediction))
            if document is not None:
                document.close(self._skipped)
        if page is not None and gallery is not None:
            write_atomically(gallery, page.page(self._summary).encode())
        if not as_json:
            self._say(csv, gallery)

    def _answers(self) -> Iterator[tuple[Decoded, Prediction]]:
        with Progress("images", len(self._paths)) as bar:
            left = decode_ahead(self._paths, self._model.geometry, self._reading)
            while batch := list(islice(left, BATCH)):
                good = [one for one in batch if self._usable(one)]
                pixels = (one.pixels for one in good if one.pixels is not None)
                yield from zip(good, self._ask(pixels), strict=True)
                bar.advance(len(batch))
        if len(self._skipped) == len(self._paths):
            raise InvalidInput("no image could be read; check the files")

    def _usable(self, one: Decoded) -> bool:
        if one.fault is None:
            return True
        if not self._skip_bad:
            raise _skippable(one.fault)
        self._skipped.append(path_text(one.path))
        typer.echo(f"skipped: {_in_options(one.fault)}", err=True)
        return False

    def _say(self, csv: Path | None, gallery: Path | None) -> None:
        console = Console()
        if len(self._first) <= _LISTED:
            console.print(_list_of(self._first, self._model, console.width >= _WIDE))
        else:
            console.print(_summary_of(self._summary))
        if self._summary.uncalibrated:
            names = ", ".join(sorted(self._summary.uncalibrated))
            typer.echo(printable(f"uncalibrated, so that none of these is never said: {names}"))
        if self._skipped:
            typer.echo(f"skipped {len(self._skipped)} of {len(self._paths)} images that cannot be read")
        for what, path in (("answers", csv), ("gallery", gallery)):
            if path is not None:
                typer.echo(printable(f"{what}: {path}"))


def _skippable(fault: InvalidInput) -> InvalidInput:
    """Return what is wrong with an image, with the other thing that can be done about it."""
    return type(fault)(f"{_in_options(fault)}, or leave out what cannot be read with --skip-bad")


def _in_options(fault: InvalidInput) -> str:
    """Say what is wrong with an image with this command's options, as `--window=full` where a source has `window=full`.

    An order of windows is for sources alone.
    """
    return re.sub(r"(?<=[ ,])(window|megapixels)=", r"--\1=", str(fault).replace(", or window=header|auto", ""))


def _list_of(first: Sequence[tuple[str, Prediction]], model: Answering, wide: bool) -> Table:
    table = Table("image", "answer", "task")
    table.add_column("P", justify="right")
    if wide:
        table.add_column("P(task)", justify="right")
        table.add_column("percentile", justify="right")
        table.add_column("answered by")
    for name, one in first:
        cells = [_plain(Path(name).name), _plain(answer(one)), _plain(one.task), f"{one.probability:.3f}"]
        if wide:
            percentile = "" if one.percentile is None else f"{one.percentile:.2f}"
            who = ", ".join(dict.fromkeys(map(model.who, one.answered_by)))
            cells += [f"{one.task_probability:.3f}", percentile, _plain(who)]
        table.add_row(*cells)
    return table


def _summary_of(summary: Summary) -> Table:
    table = Table("task", "class")
    for head in ("images", "mean P"):
        table.add_column(head, justify="right")
    for task, key, count, mean in summary.rows():
        table.add_row(_plain(task), _plain(key), str(count), f"{mean:.3f}" if task else "")
    return table


def _plain(text: str) -> str:
    return escape(printable(text))
