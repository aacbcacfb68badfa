"""People with accounts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

UUID_TEXT = mysql.CHAR(36, charset="ascii", collation="ascii_bin")
MOMENT = mysql.DATETIME(fsp=3)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", UUID_TEXT, primary_key=True),
        sa.Column("email", sa.String(254, collation="utf8mb4_bin"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("token_version", sa.Integer, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_active", MOMENT, nullable=False),
        sa.UniqueConstraint("email", name="email"),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
    )


def downgrade() -> None:
    op.drop_table("users", if_exists=True)
