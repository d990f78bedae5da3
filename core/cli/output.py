"""What a command prints: for people, or one JSON document on stdout for a script."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for a script, errors on stderr as JSON.")]


def say(sentence: str) -> None:
    """Print a line on stdout."""
    typer.echo(sentence)


def say_json(document: Any) -> None:
    """Print a document as JSON on stdout."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
