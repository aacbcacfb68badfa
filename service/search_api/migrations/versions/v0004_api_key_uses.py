"""Uses of API keys by the hour."""

from alembic import op

revision = "0004"
down_revision = "0003"

# One statement with its keys in it: a revision that dies is either done or not done.
TABLE = """
CREATE TABLE IF NOT EXISTS api_key_uses (
    api_key_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    hour DATETIME(3) NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (api_key_id, hour),
    FOREIGN KEY (api_key_id) REFERENCES api_keys (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.drop_table("api_key_uses", if_exists=True)
