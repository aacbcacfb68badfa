"""Login tokens that were logged out."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

UUID_TEXT = mysql.CHAR(36, charset="ascii", collation="ascii_bin")
MOMENT = mysql.DATETIME(fsp=3)


def upgrade() -> None:
    op.create_table(
        "revoked_tokens",
        sa.Column("token_id", UUID_TEXT, primary_key=True),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Index("ix_revoked_tokens_expires_at", "expires_at"),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
    )


def downgrade() -> None:
    op.drop_table("revoked_tokens", if_exists=True)
