"""The ledger of calls to the AI: who caused them, what they cost, what came of them."""

from alembic import op

revision = "0008"
down_revision = "0007"

TABLE = """
CREATE TABLE IF NOT EXISTS ai_calls (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    api_key_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
    operation VARCHAR(32) NOT NULL,
    model VARCHAR(128) NOT NULL,
    outcome VARCHAR(32) NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost_nano_usd BIGINT NOT NULL,
    milliseconds DOUBLE NOT NULL,
    created_at DATETIME(3) NOT NULL,
    KEY ix_ai_calls_created_at (created_at),
    KEY ix_ai_calls_user_id_created_at (user_id, created_at),
    FOREIGN KEY (user_id) REFERENCES users (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.drop_table("ai_calls", if_exists=True)
