"""Make the tables of medforge 0.1.0."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = None


def upgrade() -> None:
    """Make them."""
    _table("facts", sa.Column("name", sa.String(64), primary_key=True), sa.Column("value", sa.Text, nullable=False))
    _table(
        "arrivals",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("branch", sa.String(64), nullable=False, unique=True),
        sa.Column("contributor", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("accepted_at", sa.String(40), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("admitted", sa.Boolean, nullable=False),
        sa.Column("erase", sa.Boolean, nullable=False),
        sa.Column("erased", sa.Boolean, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )
    _table(
        "commits",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("arrival", sa.Integer, sa.ForeignKey("arrivals.number"), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_commits_arrival", "commits", ["arrival"], if_not_exists=True)
    _table(
        "contributors",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("certificate", sa.String(64), nullable=False),
        sa.Column("invited_at", sa.String(40), nullable=False),
        sa.Column("revoked_at", sa.String(40)),
    )
    _table(
        "journal",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("what", sa.String(40), nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )


def _table(name: str, *columns: sa.Column[object]) -> None:
    op.create_table(name, *columns, if_not_exists=True)
