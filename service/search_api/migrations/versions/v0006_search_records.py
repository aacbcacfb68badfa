"""Every search that was made."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"

UUID_TEXT = mysql.CHAR(36, charset="ascii", collation="ascii_bin")
MOMENT = mysql.DATETIME(fsp=3)


def upgrade() -> None:
    op.create_table(
        "search_records",
        sa.Column("id", UUID_TEXT, primary_key=True),
        sa.Column("user_id", UUID_TEXT, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("api_key_id", UUID_TEXT),
        sa.Column("query_text", sa.String(500), nullable=False),
        sa.Column("search_mode", sa.String(16), nullable=False),
        sa.Column("database_ids", sa.JSON, nullable=False),
        sa.Column("result_count", sa.Integer, nullable=False),
        sa.Column("execution_ms", sa.Float(53), nullable=False),
        sa.Column("cache_hit", sa.Boolean, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Index("ix_search_records_created_at", "created_at"),
        sa.Index("ix_search_records_user_id_created_at", "user_id", "created_at"),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
    )


def downgrade() -> None:
    op.drop_table("search_records", if_exists=True)
