"""Add what 0.2.0 keeps: declared tasks, what arrivals are known by, and triggers on every database that knows them.

Ledgers of its development have some of it already.
"""

import sqlalchemy as sa
from alembic import op

from medforge.aggregator.ledger.append_only import protecting

revision = "3"
down_revision = "2"
_LONGEST_SKETCH = 1 << 24


def upgrade() -> None:
    """Add it where it is not there."""
    op.create_table(
        "tasks",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("arrival", sa.Integer, sa.ForeignKey("arrivals.number")),
        sa.Column("declared_at", sa.String(40), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_tasks_name", "tasks", ["name"], if_not_exists=True)
    op.create_table(
        "origins",
        sa.Column("arrival", sa.Integer, sa.ForeignKey("arrivals.number"), primary_key=True, autoincrement=False),
        sa.Column("plugin", sa.String(64), nullable=False),
        sa.Column("distilled", sa.String(64), nullable=False),
        sa.Column("weights", sa.LargeBinary(_LONGEST_SKETCH), nullable=False),
        sa.Column("images", sa.LargeBinary(_LONGEST_SKETCH)),
        if_not_exists=True,
    )
    op.create_index("ix_origins_plugin", "origins", ["plugin"], if_not_exists=True)
    op.create_index("ix_origins_distilled", "origins", ["distilled"], if_not_exists=True)
    for statement in protecting(op.get_bind().dialect.name, "commits", "journal", "tasks"):
        op.execute(statement)
