"""The oldest code that can read the schema."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "schema_contract",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("oldest_reader", sa.Integer, nullable=False),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
    )
    op.execute("INSERT IGNORE INTO schema_contract (id, oldest_reader) VALUES (1, 1)")


def downgrade() -> None:
    op.drop_table("schema_contract", if_exists=True)
