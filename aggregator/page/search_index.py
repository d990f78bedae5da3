"""What the search looks through, as a script beside the pages: a file from disk may not fetch another, but load one."""

from __future__ import annotations

import json
from collections.abc import Iterator

from medforge.aggregator.page.addresses import branch_page, commit_page, contributor_page, task_page
from medforge.aggregator.page.forge_view import ForgeView
from medforge.aggregator.page.words import STATES, day, shown

_SHORT = 12


def search_index(view: ForgeView) -> str:
    """Return the script that sets the index: rows of what is found, its name, further words, and the page's address."""
    rows = [[*map(shown, row)] for row in _rows(view)]
    # ASCII alone: no text can end the script or begin another
    return f"window.medforgeIndex = {json.dumps(rows, separators=(',', ':'))};\n".replace("<", "\\u003c")


def _rows(view: ForgeView) -> Iterator[tuple[str, str, str, str]]:
    history = view.history
    for name in history.tasks:
        task = view.task(name)
        words = [] if task is None else [task.modality, *task.keys, *task.prompts]
        yield "task", name, _line(words), task_page(name)
    for identifier in history.everybody:
        yield "contributor", view.name(identifier), "", contributor_page(identifier)
    for one in history.arrivals.values():
        about = [one.task, view.name(one.contributor), STATES[one.state], day(one.accepted_at)]
        yield (
            "branch",
            f"Branch {one.number}",
            _line([*about, one.branch[:_SHORT], one.reason]),
            branch_page(one.number),
        )
    for made in history.rounds:
        one = history.arrivals[made.arrival]
        tags = [tag.name for tag in view.tags_of(made.digest)]
        about = [*tags, made.digest[:_SHORT], one.task, view.name(one.contributor)]
        yield "commit", f"Commit {made.number}", _line(about), commit_page(made.number)


def _line(words: list[str]) -> str:
    return " · ".join(filter(None, words))
