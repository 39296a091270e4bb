"""Remember of each table what the newest comparison said, and of a comparison what it was of."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NEW: dict[str, tuple[sa.types.TypeEngine[Any], str]] = {
    "stream": (sa.Text(), "''"),
    "how": (sa.Text(), "''"),
    "patterns": (sa.JSON(), "'[]'"),
    "counts": (sa.JSON(), "'{}'"),
}


def upgrade() -> None:
    """Go from the revision before to this one."""
    with op.batch_alter_table("comparison") as comparison:
        for name, (kind, empty) in NEW.items():
            comparison.add_column(sa.Column(name, kind, nullable=False, server_default=sa.text(empty)))
    op.create_table(
        "compared_table",
        sa.Column("migration_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("comparison_id", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("different", sa.BigInteger(), nullable=False),
        sa.Column("moving", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["comparison_id"], ["comparison.id"], name=op.f("fk_compared_table_comparison_id_comparison")
        ),
        sa.ForeignKeyConstraint(
            ["migration_id"], ["migration.id"], name=op.f("fk_compared_table_migration_id_migration")
        ),
        sa.PrimaryKeyConstraint("migration_id", "table_name", name=op.f("pk_compared_table")),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_table("compared_table")
    with op.batch_alter_table("comparison") as comparison:
        for name in reversed(NEW):
            comparison.drop_column(name)
