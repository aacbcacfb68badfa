"""API keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"

UUID_TEXT = mysql.CHAR(36, charset="ascii", collation="ascii_bin")
MOMENT = mysql.DATETIME(fsp=3)


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", UUID_TEXT, primary_key=True),
        sa.Column("user_id", UUID_TEXT, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("key_prefix", sa.String(24), nullable=False),
        sa.Column("key_hash", mysql.CHAR(64, charset="ascii", collation="ascii_bin"), nullable=False),
        sa.Column("environment", sa.String(8), nullable=False),
        sa.Column("permissions", sa.JSON, nullable=False),
        sa.Column("rate_limit_tier", sa.String(16), nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("last_used", MOMENT),
        sa.Column("last_used_ip", sa.String(45)),
        sa.Column("usage_count", sa.BigInteger, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.UniqueConstraint("key_hash", name="key_hash"),
        sa.Index("ix_api_keys_user_id", "user_id"),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
    )


def downgrade() -> None:
    op.drop_table("api_keys", if_exists=True)
