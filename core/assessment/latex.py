"""An assessment as LaTeX: plain tabulars, which need no package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medforge.assessment.result import Assessment
from medforge.assessment.tables import CLASS_HEAD, class_rows, interval_note, whole_rows

_ESCAPES = {
    **{mark: rf"\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "−": "$-$",
    "<": "$<$", ">": "$>$", "|": "$|$",
}  # fmt: skip


def latex_tables(assessment: Assessment) -> str:
    """Write what is measured of all, of each class and, where there is one, the confusion matrix."""
    names = [one.name for one in assessment.classes]
    kind = "finding" if assessment.several else "class"
    tables = [
        tabular(("measure", "value (95 % interval)"), whole_rows(assessment)),
        tabular((kind, *CLASS_HEAD), class_rows(assessment)),
    ]
    if assessment.confusion is not None:
        rows = ((name, *map(str, row)) for name, row in zip(names, assessment.confusion, strict=True))
        tables.append(tabular(("true class", *names), rows))
    return f"% {interval_note(assessment).replace('%', 'per cent')}\n" + "\n".join(tables)


def tabular(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a tabular, its first column to the left and the others to the right."""
    lines = [" & ".join(map(escape, line)) + r" \\" for line in (head, *rows)]
    body = "\n".join([r"\hline", lines[0], r"\hline", *lines[1:], r"\hline"])
    return f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}\n{body}\n\\end{{tabular}}\n"


def escape(text: str) -> str:
    """Write text so that LaTeX prints it as it is."""
    return "".join(_ESCAPES.get(mark, mark) for mark in " ".join(text.split()))
