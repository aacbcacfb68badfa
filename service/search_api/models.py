"""The service's own tables."""

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Date, Float, ForeignKey, Index, Integer, String
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class IdText(TypeDecorator[str]):
    """An id. Text of a caller that is not ASCII stands for no row: MySQL refuses to compare it at all."""

    impl = mysql.CHAR(36, charset="ascii", collation="ascii_bin")
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 (SQLAlchemy's signature)
        return value if value is None or value.isascii() else ""


UUID_TEXT = IdText()
DIGEST_TEXT = mysql.CHAR(64, charset="ascii", collation="ascii_bin")
EXACT_TEXT = "utf8mb4_bin"


class UtcMoment(TypeDecorator[datetime]):
    """DATETIME(3) holding UTC; aware datetimes on the Python side."""

    impl = mysql.DATETIME(fsp=3)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's signature)
        return value if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {datetime: UtcMoment()}  # noqa: RUF012 (SQLAlchemy's own interface)


class User(Base):
    """A person with an account. A deleted account stays as a row with ``is_active`` false."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(UUID_TEXT, primary_key=True)
    email: Mapped[str] = mapped_column(String(254, collation=EXACT_TEXT), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16), default="user")
    token_version: Mapped[int] = mapped_column(Integer, default=1)
    is_active: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at: Mapped[datetime]
    last_active: Mapped[datetime]


class RevokedToken(Base):
    """A login token that was logged out before its time."""

    __tablename__ = "revoked_tokens"
    token_id: Mapped[str] = mapped_column(UUID_TEXT, primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ApiKey(Base):
    """An API key; only a keyed hash of the secret is stored."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(UUID_TEXT, primary_key=True)
    user_id: Mapped[str] = mapped_column(UUID_TEXT, ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    key_prefix: Mapped[str] = mapped_column(String(24))
    key_hash: Mapped[str] = mapped_column(DIGEST_TEXT, unique=True)
    environment: Mapped[str] = mapped_column(String(8))
    permissions: Mapped[list[str]] = mapped_column(JSON)
    rate_limit_tier: Mapped[str] = mapped_column(String(16))
    expires_at: Mapped[datetime | None]
    last_used: Mapped[datetime | None]
    last_used_ip: Mapped[str | None] = mapped_column(String(45))
    usage_count: Mapped[int] = mapped_column(mysql.BIGINT, default=0)
    is_active: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ApiKeyUse(Base):
    """Uses of a key in one hour."""

    __tablename__ = "api_key_uses"
    api_key_id: Mapped[str] = mapped_column(UUID_TEXT, ForeignKey("api_keys.id"), primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    requests: Mapped[int] = mapped_column(Integer)


class DatabaseConnection(Base):
    """One of a user's own databases. The password is sealed by the vault; NULL means that there is none."""

    __tablename__ = "database_connections"
    id: Mapped[str] = mapped_column(UUID_TEXT, primary_key=True)
    user_id: Mapped[str] = mapped_column(UUID_TEXT, ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    host: Mapped[str] = mapped_column(String(253))
    port: Mapped[int] = mapped_column(Integer)
    database: Mapped[str] = mapped_column("database_name", String(64))
    username: Mapped[str] = mapped_column(String(128))
    sealed_password: Mapped[str | None] = mapped_column(String(2048))
    ssl: Mapped[bool] = mapped_column("use_tls", Boolean)
    is_active: Mapped[bool] = mapped_column(Boolean, default=True)
    last_connected: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SearchRecord(Base):
    """One search that was made, whatever came of it. ``execution_ms`` is milliseconds."""

    __tablename__ = "search_records"
    id: Mapped[str] = mapped_column(UUID_TEXT, primary_key=True)
    user_id: Mapped[str] = mapped_column(UUID_TEXT, ForeignKey("users.id"))
    api_key_id: Mapped[str | None] = mapped_column(UUID_TEXT)
    query_text: Mapped[str] = mapped_column(String(500))
    search_mode: Mapped[str] = mapped_column(String(16))
    database_ids: Mapped[list[str]] = mapped_column(JSON)
    result_count: Mapped[int] = mapped_column(Integer)
    execution_ms: Mapped[float] = mapped_column(Float(53))
    cache_hit: Mapped[bool] = mapped_column(Boolean)
    status: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (Index("ix_search_records_user_id_created_at", "user_id", "created_at"),)


class AiCall(Base):
    """One call to the AI and what it cost, in billionths of a US dollar."""

    __tablename__ = "ai_calls"
    id: Mapped[str] = mapped_column(UUID_TEXT, primary_key=True)
    user_id: Mapped[str] = mapped_column(UUID_TEXT, ForeignKey("users.id"))
    api_key_id: Mapped[str | None] = mapped_column(UUID_TEXT)
    operation: Mapped[str] = mapped_column(String(32))
    model: Mapped[str] = mapped_column(String(128))
    outcome: Mapped[str] = mapped_column(String(32))
    prompt_tokens: Mapped[int] = mapped_column(Integer)
    completion_tokens: Mapped[int] = mapped_column(Integer)
    cost_nano_usd: Mapped[int] = mapped_column(mysql.BIGINT)
    milliseconds: Mapped[float] = mapped_column(Float(53))
    created_at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (Index("ix_ai_calls_user_id_created_at", "user_id", "created_at"),)


class SearchRollup(Base):
    """Sums of one user's searches of one UTC day in one mode; ``total_ms``, ``min_ms``, ``max_ms`` are milliseconds."""

    __tablename__ = "search_rollups"
    user_id: Mapped[str] = mapped_column(UUID_TEXT, ForeignKey("users.id"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True, index=True)
    search_mode: Mapped[str] = mapped_column(String(16), primary_key=True)
    searches: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    cache_hits: Mapped[int] = mapped_column(Integer)
    results: Mapped[int] = mapped_column(mysql.BIGINT)
    total_ms: Mapped[float] = mapped_column(Float(53))
    min_ms: Mapped[float] = mapped_column(Float(53))
    max_ms: Mapped[float] = mapped_column(Float(53))


class SchemaContract(Base):
    """One row: the oldest code that can still read this schema. A contract migration raises it."""

    __tablename__ = "schema_contract"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    oldest_reader: Mapped[int] = mapped_column(Integer)
