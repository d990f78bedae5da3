"""The README.md of an export: what it is, how it is used, what of the merged model is not in it."""

from __future__ import annotations

from html import escape

from medforge.base_check import EMBEDDED
from medforge.model.network import Network

README_FILE = "README.md"


def readme(network: Network, what: str, use: str) -> str:
    """Return the text; ``what`` names what is in the directory, ``use`` are the Python lines that use it there."""
    base = network.base
    parts = [
        f"# {what}",
        f"Written by `medforge export`. The base module is `{base.facts.spec}`, fingerprint `{base.fingerprint[:12]}`.",
        f"Run in this directory:\n\n```python\n{use}\n```",
    ]
    for task in network.tasks:
        rows = "".join(f"| {_cell(one.key)} | {_cell(one.prompt)} |\n" for one in task.classes)
        parts.append(f"## Task {task.name}\n\n| class | prompt |\n|---|---|\n{rows}".rstrip())
    if network.left:
        parts.append("Not in here, but in the merged model:\n\n" + "\n".join(f"- {one}" for one in network.left))
    if base.spec in EMBEDDED:
        parts.append("Not for patients: the embedded base is made for trying things out.")
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    # contributors wrote it
    return escape(text, quote=False).replace("|", "\\|")
