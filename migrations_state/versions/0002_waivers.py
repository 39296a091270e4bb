"""Remember waivers, and on which side a finding's fix is to be run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NEW = ("on", "waived")


def upgrade() -> None:
    """Go from the revision before to this one; findings are written anew by every preflight."""
    op.execute("delete from finding")
    with op.batch_alter_table("finding") as finding:
        for name in NEW:
            finding.add_column(sa.Column(name, sa.Text(), nullable=False))
    op.create_table(
        "waiver",
        sa.Column("migration_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["migration_id"], ["migration.id"], name=op.f("fk_waiver_migration_id_migration")
        ),
        sa.PrimaryKeyConstraint("migration_id", "code", name=op.f("pk_waiver")),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_table("waiver")
    with op.batch_alter_table("finding") as finding:
        for name in reversed(NEW):
            finding.drop_column(name)
