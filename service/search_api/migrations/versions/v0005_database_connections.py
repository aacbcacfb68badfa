"""Users' own databases."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"

UUID_TEXT = mysql.CHAR(36, charset="ascii", collation="ascii_bin")
MOMENT = mysql.DATETIME(fsp=3)


def upgrade() -> None:
    op.create_table(
        "database_connections",
        sa.Column("id", UUID_TEXT, primary_key=True),
        sa.Column("user_id", UUID_TEXT, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("host", sa.String(253), nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("database_name", sa.String(64), nullable=False),
        sa.Column("username", sa.String(128), nullable=False),
        sa.Column("sealed_password", sa.String(2048)),
        sa.Column("use_tls", sa.Boolean, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("last_connected", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Index("ix_database_connections_user_id", "user_id"),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
    )


def downgrade() -> None:
    op.drop_table("database_connections", if_exists=True)
