"""Every search that was made."""

from alembic import op

revision = "0006"
down_revision = "0005"

# One statement with its keys in it: a revision that dies is either done or not done.
TABLE = """
CREATE TABLE IF NOT EXISTS search_records (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    api_key_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
    query_text VARCHAR(500) NOT NULL,
    search_mode VARCHAR(16) NOT NULL,
    database_ids JSON NOT NULL,
    result_count INTEGER NOT NULL,
    execution_ms DOUBLE NOT NULL,
    cache_hit BOOL NOT NULL,
    status VARCHAR(16) NOT NULL,
    created_at DATETIME(3) NOT NULL,
    KEY ix_search_records_created_at (created_at),
    KEY ix_search_records_user_id_created_at (user_id, created_at),
    FOREIGN KEY (user_id) REFERENCES users (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.drop_table("search_records", if_exists=True)
