"""API keys."""

from alembic import op

revision = "0003"
down_revision = "0002"

# One statement with its keys in it: a revision that dies is either done or not done.
TABLE = """
CREATE TABLE IF NOT EXISTS api_keys (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name VARCHAR(255) NOT NULL,
    key_prefix VARCHAR(24) NOT NULL,
    key_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    environment VARCHAR(8) NOT NULL,
    permissions JSON NOT NULL,
    rate_limit_tier VARCHAR(16) NOT NULL,
    expires_at DATETIME(3),
    last_used DATETIME(3),
    last_used_ip VARCHAR(45),
    usage_count BIGINT NOT NULL,
    is_active BOOL NOT NULL,
    created_at DATETIME(3) NOT NULL,
    updated_at DATETIME(3) NOT NULL,
    UNIQUE KEY key_hash (key_hash),
    KEY ix_api_keys_user_id (user_id),
    FOREIGN KEY (user_id) REFERENCES users (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.drop_table("api_keys", if_exists=True)
