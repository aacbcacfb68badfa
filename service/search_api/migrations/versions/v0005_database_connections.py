"""Users' own databases."""

from alembic import op

revision = "0005"
down_revision = "0004"

# One statement with its keys in it: a revision that dies is either done or not done.
TABLE = """
CREATE TABLE IF NOT EXISTS database_connections (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name VARCHAR(255) NOT NULL,
    host VARCHAR(253) NOT NULL,
    port INTEGER NOT NULL,
    database_name VARCHAR(64) NOT NULL,
    username VARCHAR(128) NOT NULL,
    sealed_password VARCHAR(2048),
    use_tls BOOL NOT NULL,
    is_active BOOL NOT NULL,
    last_connected DATETIME(3),
    created_at DATETIME(3) NOT NULL,
    updated_at DATETIME(3) NOT NULL,
    KEY ix_database_connections_user_id (user_id),
    FOREIGN KEY (user_id) REFERENCES users (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.drop_table("database_connections", if_exists=True)
