"""Which blobs the forge items of a ledger's commits are made of, looked up by the database: no commit is parsed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from typing import Any

from sqlalchemy import JSON, ColumnElement, Text, cast, false, func, or_, select, true
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.commit import Commit, check_commit_digest
from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.rows import CommitRow
from medforge.runs import Runs

_AT_ONCE = 500
# more make a query that a database refuses
_MOST_RUNS = 200


class ItemTable:
    """Look up what commits say of their forge items, in the JSON that they are.

    SQLite and PostgreSQL read that themselves; of another database it is read here.
    """

    def __init__(self, ledger: Database) -> None:
        self._ledger = ledger

    def files(self, after: int = 0) -> set[str]:
        """Return the digests of the files of the forge items of the commits after a number."""
        return self._files(CommitRow.number > after)

    def files_of(self, commits: Runs) -> set[str]:
        """Return the digests of the files of the forge items of commits, by their numbers."""
        found: set[str] = set()
        for start in range(0, len(commits.runs), _MOST_RUNS):
            part = commits.runs[start : start + _MOST_RUNS]
            found |= self._files(or_(false(), *(CommitRow.number.between(first, last) for first, last in part)))
        return found

    def made_with(self, arrivals: Set[int]) -> Runs:
        """Return the numbers of the commits that have any of these arrivals as a member."""
        if not arrivals:
            return Runs()
        with self._ledger.reading() as session:
            told = ((number, Runs.read(said)) for number, said in _members(session))
            return Runs(number for number, members in told if any(one in members for one in arrivals))

    def commit_of(self, item: str) -> Commit | None:
        """Read the first commit with this forge item, by its digest; None for none."""
        with self._ledger.reading() as session:
            said = _item(session)
            if said is None:
                numbers = session.execute(select(CommitRow.number, CommitRow.content).order_by(CommitRow.number))
                number = next((number for number, content in numbers if json.loads(content)["item"] == item), None)
            else:
                number = session.scalar(select(func.min(CommitRow.number)).where(said == item))
            row = None if number is None else session.get(CommitRow, number)
            return row.plain() if row else None

    def check(self) -> int:
        """Return the newest commit's number; raise CorruptFile unless every commit has its digest.

        What is not as it was may not say what is needed.
        """
        last = 0
        columns = (CommitRow.number, CommitRow.content, CommitRow.digest)
        while True:
            query = select(*columns).where(CommitRow.number > last).order_by(CommitRow.number).limit(_AT_ONCE)
            with self._ledger.reading() as session:
                rows = session.execute(query).all()
            if not rows:
                return last
            for _, content, digest in rows:
                check_commit_digest(content, digest)
            last = int(rows[-1][0])

    def _files(self, which: ColumnElement[bool]) -> set[str]:
        with self._ledger.reading() as session:
            items = _items(session)
            if items is None:
                contents = session.scalars(select(CommitRow.content).where(which))
                return {digest for content in contents for digest in json.loads(content)["item_files"].values()}
            query = select(items.c.value).select_from(CommitRow).join(items, true()).where(which).distinct()
            return set(session.scalars(query))


def _items(session: Session) -> Any:
    """Return a commit's `item_files` as a table that is joined to it; None where the database reads no JSON."""
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        return func.json_each(cast(CommitRow.content, Text), "$.item_files").table_valued("value", name="items")
    if dialect == "postgresql":
        return func.json_each_text(_document()["item_files"]).table_valued("key", "value", name="items")
    return None


def _item(session: Session) -> Any:
    """Return the digest of a commit's forge item, as it is said in it; None where the database reads no JSON."""
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        return func.json_extract(cast(CommitRow.content, Text), "$.item")
    return _document()["item"].as_string() if dialect == "postgresql" else None


def _members(session: Session) -> Iterator[tuple[int, Any]]:
    """Yield every commit's number, and its members as they are said in it."""
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        said = func.json_extract(cast(CommitRow.content, Text), "$.members")
        yield from ((number, json.loads(text)) for number, text in session.execute(select(CommitRow.number, said)))
    elif dialect == "postgresql":
        told = session.execute(select(CommitRow.number, _document()["members"]))
        yield from ((number, said) for number, said in told)
    else:
        contents = session.execute(select(CommitRow.number, CommitRow.content))
        yield from ((number, json.loads(content)["members"]) for number, content in contents)


def _document() -> Any:
    # `json`, not `jsonb`: what a name may hold, jsonb may not
    return cast(func.convert_from(CommitRow.content, "UTF8"), JSON)
