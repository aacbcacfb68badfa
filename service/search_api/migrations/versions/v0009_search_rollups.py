"""Sums of a user's searches a day, which outlive the single records."""

from alembic import op

revision = "0009"
down_revision = "0008"

TABLE = """
CREATE TABLE IF NOT EXISTS search_rollups (
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    day DATE NOT NULL,
    search_mode VARCHAR(16) NOT NULL,
    searches INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cache_hits INTEGER NOT NULL,
    results BIGINT NOT NULL,
    total_ms DOUBLE NOT NULL,
    min_ms DOUBLE NOT NULL,
    max_ms DOUBLE NOT NULL,
    PRIMARY KEY (user_id, day, search_mode),
    KEY ix_search_rollups_day (day),
    FOREIGN KEY (user_id) REFERENCES users (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.drop_table("search_rollups", if_exists=True)
