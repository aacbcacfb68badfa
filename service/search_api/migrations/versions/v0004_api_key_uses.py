"""Uses of API keys by the hour."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"

UUID_TEXT = mysql.CHAR(36, charset="ascii", collation="ascii_bin")
MOMENT = mysql.DATETIME(fsp=3)


def upgrade() -> None:
    op.create_table(
        "api_key_uses",
        sa.Column("api_key_id", UUID_TEXT, sa.ForeignKey("api_keys.id"), primary_key=True),
        sa.Column("hour", MOMENT, primary_key=True),
        sa.Column("requests", sa.Integer, nullable=False),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
    )


def downgrade() -> None:
    op.drop_table("api_key_uses", if_exists=True)
