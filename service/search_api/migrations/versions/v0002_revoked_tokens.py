"""Login tokens that were logged out."""

from alembic import op

revision = "0002"
down_revision = "0001"

# One statement with its keys in it: a revision that dies is either done or not done.
TABLE = """
CREATE TABLE IF NOT EXISTS revoked_tokens (
    token_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    expires_at DATETIME(3) NOT NULL,
    KEY ix_revoked_tokens_expires_at (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.drop_table("revoked_tokens", if_exists=True)
