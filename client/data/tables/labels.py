"""The labels that a table gives its rows: one class each, or any number of findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.problems import Problems
from medforge.client.data.request import NamedSource
from medforge.client.data.splits import Index
from medforge.client.data.tables.label_words import (
    ABSENT,
    AMBIGUOUS_SEPARATORS,
    LABEL_OPTIONS,
    NO_FINDING,
    PRESENT,
    SEPARATORS,
    UNCERTAIN,
    is_empty,
    natural,
)
from medforge.client.data.tables.roles import ROLES, asked_column, find_column, plain
from medforge.client.data.tables.table import Table
from medforge.errors import InvalidInput

__all__ = ["LABEL_OPTIONS", "RowLabels", "read_labels"]


@dataclass(frozen=True)
class RowLabels:
    """Hold the label of each row: int64 [n], the position of its class, or [n, L] of 0 and 1 for each finding.

    `kept` bool [n] is false for rows that an option leaves out; their labels mean nothing. `notes` say how many.
    """

    classes: tuple[str, ...]
    labels: Index
    kept: NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Say whether a row may have several findings, or none."""
        return self.labels.ndim == 2


def read_labels(table: Table, named: NamedSource, problems: Problems) -> RowLabels | None:
    """Return the labels of a table's rows, as the options of a source say (`LABEL_OPTIONS`).

    `label` names the column, or several joined by '|' whose cells say 0 or 1; without it the column is told by its
    name, or by columns of 0 and 1 that add up to one in every row. What a row's cell leaves open (nothing, or -1 for
    uncertain) is a problem unless option `empty` or `uncertain` says what it means. None where a problem hinders it.

    Raises InvalidInput where the columns cannot be told.
    """
    columns = _columns(table, named.options.get("label"))
    if len(columns) > 1:
        return _from_columns(table, columns, named, problems)
    cells = table.column(columns[0])
    separator = _separator(table, columns[0], cells, named)
    kept, notes = _filled(table, columns[0], [not is_empty(cell) for cell in cells], named, problems, bool(separator))
    if separator:
        return _from_sets(table, cells, separator, kept, notes, named, problems)
    filler = named.options.get("empty", "")
    cells = [filler if is_empty(cell) else cell for cell in cells]
    classes = tuple(sorted({cell for cell, keep in zip(cells, kept, strict=True) if keep}, key=natural))
    place = {name: index for index, name in enumerate(classes)}
    labels = np.array([place.get(cell, 0) for cell in cells], dtype=np.int64)
    return RowLabels(classes, labels, kept, notes)


def _columns(table: Table, asked: str | None) -> list[str]:
    if asked is not None:
        names = [asked] if asked in table.columns else asked.split("|")
        return [asked_column(table, name, "label") for name in names]
    hot = _one_hot(table)
    own = [name for name in table.columns if any(plain(name) in rank.split(", ") for rank in ROLES["label"])]
    if hot and set(own) <= set(hot):
        return hot
    found = find_column(table, "label")
    if found is None:
        raise InvalidInput(
            f"{table.path} has no column that is called like a label, only {table.known}; name it with label=COLUMN, "
            "or several columns of 0 and 1 with label=ONE|OTHER"
        )
    return [found]


def _one_hot(table: Table) -> list[str]:
    """Return the columns of 0 and 1, where there are several and each row has a single 1 among them."""
    others = {name for role in ("image", "group", "split") for rank in ROLES[role] for name in rank.split(", ")}
    hot = [
        name
        for name in table.columns
        if name and plain(name) not in others and all(cell in ("0", "1", "0.0", "1.0") for cell in table.column(name))
    ]
    if len(hot) < 2 or not len(table):
        return []
    sums = np.array([[float(cell) for cell in table.column(name)] for name in hot]).sum(axis=0)
    return hot if (sums == 1).all() else []


def _from_columns(table: Table, columns: list[str], named: NamedSource, problems: Problems) -> RowLabels | None:
    uncertain = named.choice("uncertain", ("present", "absent", "drop", ""), "")
    empty = named.choice("empty", ("none", "drop", ""), "")
    labels = np.zeros((len(table), len(columns)), dtype=np.int64)
    kept = np.ones(len(table), dtype=np.bool_)
    open_cells: Counter[str] = Counter()
    for place, column in enumerate(columns):
        for row, cell in enumerate(table.column(column)):
            word = cell.casefold()
            kind = "empty" if is_empty(cell) else "uncertain" if word in UNCERTAIN else ""
            answer = {"empty": empty, "uncertain": uncertain}.get(kind, "")
            if kind and not answer:
                open_cells[kind] += 1
            elif not kind and word not in PRESENT and word not in ABSENT:
                problems.add(table.place(row), f"says '{cell}' of {column}, which is neither 0 nor 1", "mend that cell")
            kept[row] &= answer != "drop"
            labels[row, place] = word in PRESENT or answer == "present"
    for kind, count in open_cells.items():
        said = {"empty": "empty=none for absent, or empty=drop to leave the rows out"}.get(
            kind, "uncertain=present, uncertain=absent, or uncertain=drop to leave the rows out"
        )
        problems.add(table.path, f"has {count} {kind} cells among {', '.join(columns[:4])} …", f"say {said}")
    notes = _left_out(table, kept, "that leave a finding open")
    single = (labels[kept].sum(axis=1) == 1).all()
    several = named.choice("several", ("yes", "no"), "no" if single else "yes") == "yes"
    if several:
        return RowLabels(tuple(columns), labels, kept, notes)
    if not single:
        row = int(np.flatnonzero(kept & (labels.sum(axis=1) != 1))[0])
        problems.add(table.place(row), "has not exactly one 1 among the columns of classes", "leave several=no out")
        return None
    return RowLabels(tuple(columns), labels.argmax(axis=1).astype(np.int64), kept, notes)


def _separator(table: Table, column: str, cells: Sequence[str], named: NamedSource) -> str:
    """Return what parts several labels in one cell; empty where each cell holds one."""
    if (asked := named.options.get("separator")) is not None:
        return SEPARATORS[named.choice("separator", tuple(SEPARATORS), asked)]
    if any("|" in cell for cell in cells):
        return "|"
    for separator, name in AMBIGUOUS_SEPARATORS.items():
        joined = [cell for cell in cells if separator in cell]
        if not joined:
            continue
        counts = Counter(part for cell in set(cells) for part in set(_parts(cell, separator)))
        if all(counts[part] > 1 for cell in joined for part in _parts(cell, separator)):
            return separator
        raise InvalidInput(
            f"{table.path}: '{joined[0]}' in column {column} may be one label or several; say separator={name}, or "
            "separator=none where it is one"
        )
    return ""


def _from_sets(
    table: Table,
    cells: Sequence[str],
    separator: str,
    kept: NDArray[np.bool_],
    notes: tuple[str, ...],
    named: NamedSource,
    problems: Problems,
) -> RowLabels:
    nothing = {named.options["none"].casefold()} if "none" in named.options else NO_FINDING
    sets = [{part for part in _parts(cell, separator) if not is_empty(part)} for cell in cells]
    for row, parts in enumerate(sets):
        without = {part for part in parts if part.casefold() not in nothing}
        if without and without != parts:
            problems.add(table.place(row), f"says both a finding and none: '{cells[row]}'", "mend that cell")
        sets[row] = without
    classes = tuple(sorted(set().union(*sets), key=natural))
    labels = np.array([[name in parts for name in classes] for parts in sets], dtype=np.int64)
    return RowLabels(classes, labels.reshape(len(cells), len(classes)), kept, notes)


def _parts(cell: str, separator: str) -> list[str]:
    return [part.strip() for part in cell.split(separator) if part.strip()]


def _filled(
    table: Table, column: str, filled: list[bool], named: NamedSource, problems: Problems, several: bool
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Return which rows are kept, where option `empty` says what those without a label are."""
    count = filled.count(False)
    empty = named.options.get("empty", "")
    if count and not empty:
        first = table.lines[filled.index(False)]
        problems.add(
            table.path,
            f"has {count} rows without a label in column {column} (the first in line {first})",
            f"fill them in, leave them out with empty=drop, or say {'empty=none' if several else 'empty=CLASS'}",
        )
    kept = np.array(filled, dtype=np.bool_) | (empty != "drop")
    return kept, _left_out(table, kept, "without a label")


def _left_out(table: Table, kept: NDArray[np.bool_], which: str) -> tuple[str, ...]:
    count = int((~kept).sum())
    return (f"{count} of {len(kept)} rows of {table.path.name} {which} are left out",) if count else ()
