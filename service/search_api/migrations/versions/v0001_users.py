"""People with accounts."""

from alembic import op

revision = "0001"
down_revision = None

# One statement with its keys in it: a revision that dies is either done or not done.
TABLE = """
CREATE TABLE IF NOT EXISTS users (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    email VARCHAR(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    name VARCHAR(255) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    role VARCHAR(16) NOT NULL,
    token_version INTEGER NOT NULL,
    is_active BOOL NOT NULL,
    created_at DATETIME(3) NOT NULL,
    last_active DATETIME(3) NOT NULL,
    UNIQUE KEY email (email)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.drop_table("users", if_exists=True)
