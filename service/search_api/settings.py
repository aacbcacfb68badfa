"""Every setting of the service: one typed class, read from the environment and from a credentials directory.

Secrets come from files in ``$CREDENTIALS_DIRECTORY`` (one file per setting, named like the field) or from the
environment; a file wins, because it is the safer place. Nothing else is read.
"""

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from search_api.limits.tiers import TIERS, Tier
from search_api.secret_strength import (
    DEVELOPMENT_API_KEY_PEPPER,
    DEVELOPMENT_JWT_SECRET,
    encryption_keys_fault,
    password_fault,
    random_secret_fault,
)

PREFIX = "SEARCH_API_"
LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}

# Where a fleet's own machines are, unless the operator says so more exactly.
PRIVATE_NETWORKS = tuple(
    ip_network(text)
    for text in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)

Environment = Literal["development", "test", "staging", "production"]
Network = IPv4Network | IPv6Network
Seconds = Annotated[float, Field(gt=0, le=3600)]
Attempts = Annotated[int, Field(ge=1, le=1_000_000)]
TIER_LIMITS = ",".join(f"{name}={tier.hourly}/{tier.burst}/{tier.concurrent}" for name, tier in TIERS.items())
PoolSize = Annotated[int, Field(ge=1, le=1000)]


class SettingsError(Exception):
    """The settings cannot be used. The message is one line: the setting, what is wrong, the cure."""


class CredentialFiles(PydanticBaseSettingsSource):
    """Reads ``$CREDENTIALS_DIRECTORY/<field>`` for every field, as systemd's LoadCredential lays them out."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            return None, field_name, False
        path = Path(directory) / field_name
        try:
            return path.read_text(encoding="utf-8").rstrip("\r\n"), field_name, False
        except FileNotFoundError:
            return None, field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"{PREFIX}{field_name.upper()}: the credential file cannot be read ({type(error).__name__}); "
                "make it a text file that the service's user can read"
            ) from None

    def __call__(self) -> dict[str, Any]:
        values = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in values.items() if value is not None}


class Settings(BaseSettings):
    """The service's settings. Times are seconds and sizes are bytes unless the description says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    environment: Environment = Field("production", description="development, test, staging or production")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )
    workers: int = Field(2, ge=1, le=64, description="worker processes, unless --workers says otherwise")
    threads: int = Field(40, ge=2, le=500, description="requests that one worker handles at once")
    max_body_bytes: int = Field(65_536, ge=1024, description="largest request body that is read")
    keep_alive: Seconds = Field(
        90, ge=75, description="idle connections live this long; the proxy in front keeps 60 s"
    )
    shutdown_timeout: Seconds = Field(30, description="running requests get this long to finish at shutdown")
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="CIDRs, comma separated, whose X-Forwarded-For is believed"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins, comma separated, that browsers may call from; none when empty"
    )
    drain_file: Path | None = Field(None, description="while this file exists, /health/ready says draining")

    database_host: str = Field(
        "127.0.0.1", min_length=1, description="the service's own MySQL or MariaDB server"
    )
    database_port: int = Field(3306, ge=1, le=65535, description="its port")
    database_name: str = Field("search_api", pattern=r"^[A-Za-z0-9_]{1,64}$", description="its schema")
    database_user: str = Field("search_app", min_length=1, description="account of the running service")
    database_password: SecretStr = Field(SecretStr(""), description="its password")
    database_tls_ca: Path | None = Field(
        None, description="CA that signed the server's certificate; verified TLS"
    )
    migrate_database_user: str = Field(
        "", description="account that may change the schema; default: database_user"
    )
    migrate_database_password: SecretStr = Field(SecretStr(""), description="its password")
    migrate_lock_timeout: Seconds = Field(120, description="a second migration waits this long for the first")
    connect_timeout: Seconds = Field(3, description="longest connect to the service's own database")
    read_timeout: Seconds = Field(10, description="longest answer of the service's own database")
    pool_size: PoolSize = Field(20, description="connections of one worker to the service's own database")
    pool_timeout: Seconds = Field(5, description="longest wait for one of them; longer than connect_timeout")
    pool_recycle: Seconds = Field(1800, description="connections are replaced at this age")

    redis_host: str = Field("127.0.0.1", min_length=1, description="Redis server; its loss only costs speed")
    redis_port: int = Field(6379, ge=1, le=65535, description="its port")
    redis_user: str = Field("", description="its ACL user; empty for the default user")
    redis_password: SecretStr = Field(SecretStr(""), description="its password")
    redis_tls_ca: Path | None = Field(None, description="CA that signed Redis' certificate; verified TLS")
    redis_timeout: Seconds = Field(0.25, le=5, description="longest wait for Redis")

    jwt_secret: SecretStr = Field(
        SecretStr(""), description="signs login tokens; 32 or more random characters"
    )
    jwt_lifetime: int = Field(3600, ge=60, le=86_400, description="life of a login token")
    jwt_refresh_grace: int = Field(
        86_400, ge=0, le=604_800, description="a token this long expired can be refreshed"
    )
    session_lifetime: int = Field(2_592_000, ge=3600, description="a login can be refreshed for this long")
    api_key_pepper: SecretStr = Field(
        SecretStr(""), description="keys the hash of API keys; 32 or more random characters"
    )
    encryption_keys: SecretStr = Field(
        SecretStr(""),
        description="keyid:BASE64-OF-32-BYTES[,older:BASE64...]; the first encrypts, all decrypt",
    )
    password_memory_kib: int = Field(19_456, ge=1024, description="argon2id memory")
    password_time_cost: int = Field(2, ge=1, description="argon2id passes")

    customer_allowed_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="private CIDRs, comma separated, in which users' databases may live"
    )
    customer_tls_ca: Path | None = Field(
        None, description="further CAs for users' databases; the system's always count"
    )
    customer_connect_timeout: Seconds = Field(3, description="longest connect to a user's database")
    customer_statement_timeout: Seconds = Field(
        5, description="longest statement there; the server enforces it"
    )
    customer_read_timeout: Seconds = Field(
        7, description="longest silence there; longer than the statement's limit"
    )
    customer_deadline: Seconds = Field(
        15, description="a whole search; longer than connect and one statement together"
    )
    customer_pool_size: PoolSize = Field(8, description="connections of one worker to one user's database")
    customer_pool_timeout: Seconds = Field(
        5, description="longest wait for one; longer than customer_connect_timeout"
    )
    customer_pool_idle: Seconds = Field(
        60, description="an unused pool of a user's database is closed after this"
    )
    customer_pools: int = Field(
        100, ge=1, le=10_000, description="users' databases with open connections, per worker"
    )
    schema_cache_seconds: Seconds = Field(60, description="a user's schema is read again after this")

    search_max_depth: int = Field(10_000, ge=100, description="largest offset + limit of a search")
    like_row_cap: int = Field(50_000, ge=1, description="rows that a search without FULLTEXT index looks at")
    word_count_cache_seconds: Seconds = Field(
        300, description="in how many rows a word is, is asked again after this"
    )
    vocabulary_cache_seconds: int = Field(
        3600,
        ge=1,
        le=86_400,
        description="words of a user's database, for suggestions, are read again after this",
    )
    vocabulary_rows: int = Field(
        20_000, ge=100, le=1_000_000, description="rows of a user's database that are read for its words"
    )
    cache_search_seconds: int = Field(
        60, ge=0, le=86_400, description="life of a cached search; 0 switches it off"
    )
    key_cache_seconds: int = Field(
        30, ge=1, le=300, description="life of a cached API key; revoking ends it at once"
    )
    usage_flush_seconds: Seconds = Field(5, description="counted API key uses are written this often")
    metrics_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        PRIVATE_NETWORKS,
        description="CIDRs, comma separated, that may read /metrics; so may a caller at the Unix socket itself",
    )
    records_flush_seconds: Seconds = Field(1, description="searches that were made are recorded this often")

    tier_limits: str = Field(
        TIER_LIMITS,
        pattern=r"^"
        + ",".join(rf"{name}=[1-9]\d{{0,8}}/[1-9]\d{{0,8}}/[1-9]\d{{0,4}}" for name in TIERS)
        + "$",
        description="tier=requests an hour/in a burst window/at once, for every tier",
    )
    burst_window_seconds: int = Field(10, ge=1, le=3600, description="length of the window of a burst")
    lease_seconds: Seconds = Field(
        30, description="a request of a crashed worker counts as running for this long; longer than a search"
    )
    limit_share_divisor: int = Field(
        4, ge=1, le=10_000, description="workers over all hosts, which share each limit while Redis is away"
    )
    limit_exempt_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="CIDRs, comma separated, of the operator's probes; no limit per address holds for them",
    )
    register_per_hour: Attempts = Field(5, description="accounts made from one address")
    login_per_hour: Attempts = Field(10, description="logins from one address")
    failed_authentications_per_minute: Attempts = Field(
        30, description="wrong tokens and API keys from one address; beyond it none is looked at"
    )
    key_creations_per_hour: Attempts = Field(20, description="API keys that one user makes")
    key_regenerations_per_hour: Attempts = Field(5, description="API keys that one user makes anew")

    search_record_days: int = Field(
        90, ge=1, le=400, description="`search-api purge` keeps each search's record for so many days"
    )
    rollup_days: int = Field(
        400, ge=1, le=4000, description="and the daily sums and AI calls; not fewer than search_record_days"
    )
    warm_cache: bool = Field(
        True, description="popular searches are cached again after a start and before they expire"
    )
    warm_cache_owners: int = Field(20, ge=1, le=1000, description="for so many users, the busiest first")
    warm_cache_queries: int = Field(5, ge=1, le=50, description="so many searches of each")
    metrics_dir: Path | None = Field(
        None, description="directory for metrics of several workers; emptied at start"
    )

    ai_base_url: str = Field(
        "",
        pattern=r"^(https?://[^/?#@\s]+(/[^?#@\s]*)?)?$",
        description="OpenAI's API or one like it; empty: no AI",
    )
    ai_api_key: SecretStr = Field(SecretStr(""), description="its key")
    ai_tls_ca: Path | None = Field(
        None, description="CA that signed its certificate; the system's when empty; verified TLS"
    )
    ai_model: str = Field(
        "gpt-4o-mini", min_length=1, max_length=128, description="model that proposes better queries"
    )
    ai_embedding_model: str = Field(
        "text-embedding-3-small", min_length=1, max_length=128, description="model that embeds texts"
    )
    ai_embedding_dimensions: int = Field(
        1536, ge=1, le=8192, description="numbers in its vectors; other vectors are not believed"
    )
    ai_timeout: Seconds = Field(3, description="longest answer of the AI to one request")
    ai_deadline: Seconds = Field(
        4, description="all that one search may spend on the AI, retries and waits included"
    )
    ai_retries: int = Field(
        2, ge=0, le=5, description="further requests after one that may work the next time"
    )
    ai_breaker_failures: int = Field(
        5, ge=1, le=100, description="failures in a row after which a worker leaves the AI alone"
    )
    ai_breaker_rest: Seconds = Field(10, description="it is left alone for this long, then tried once")
    ai_hosts: int = Field(
        2, ge=1, le=1000, description="machines that share a key's AI calls between them while Redis is away"
    )
    ai_embedding_price: float = Field(
        0.02, ge=0, description="US dollars a million tokens of ai_embedding_model"
    )
    ai_prompt_price: float = Field(0.15, ge=0, description="US dollars a million tokens sent to ai_model")
    ai_completion_price: float = Field(0.6, ge=0, description="US dollars a million tokens written by it")
    ai_candidates: int = Field(
        50, ge=2, le=100, description="best full-text matches that a semantic search puts in order"
    )
    ai_document_chars: int = Field(
        300, ge=50, le=8000, description="characters of each of them that the AI reads"
    )
    cache_ai_seconds: int = Field(
        604_800, ge=1, le=31_536_000, description="life of a cached reply of the AI"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the signature is pydantic's)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, CredentialFiles(settings_cls), env_settings

    @field_validator(
        "trusted_proxies",
        "customer_allowed_networks",
        "metrics_networks",
        "limit_exempt_networks",
        mode="before",
    )
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        origins = tuple(part.strip() for part in value.split(",") if part.strip())
        if any("*" in origin or not origin.startswith(("https://", "http://")) for origin in origins):
            raise ValueError("is not a list of origins; name each as https://host[:port], without wildcards")
        return origins

    @field_validator(
        "database_tls_ca",
        "redis_tls_ca",
        "customer_tls_ca",
        "ai_tls_ca",
        "drain_file",
        "metrics_dir",
        mode="before",
    )
    @classmethod
    def _empty_path_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("database_tls_ca", "redis_tls_ca", "customer_tls_ca", "ai_tls_ca")
    @classmethod
    def _ca_exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("names a file that does not exist; put the CA certificate (PEM) there")
        return value

    @model_validator(mode="after")
    def _times_are_in_order(self) -> Self:
        for shorter, longer in (
            ("connect_timeout", "pool_timeout"),
            ("customer_connect_timeout", "customer_pool_timeout"),
            ("customer_statement_timeout", "customer_read_timeout"),
            ("customer_read_timeout", "customer_deadline"),
            ("customer_deadline", "shutdown_timeout"),
            ("customer_deadline", "lease_seconds"),
            ("ai_timeout", "ai_deadline"),
            ("ai_deadline", "customer_deadline"),
        ):
            if getattr(self, shorter) >= getattr(self, longer):
                raise SettingsError(
                    f"{PREFIX}{longer.upper()}: is {getattr(self, longer):g} s; make it longer than "
                    f"{PREFIX}{shorter.upper()}, {getattr(self, shorter):g} s"
                )
        if self.rollup_days < self.search_record_days:
            raise SettingsError(
                f"{PREFIX}ROLLUP_DAYS: is {self.rollup_days}; make it no fewer than "
                f"{PREFIX}SEARCH_RECORD_DAYS, {self.search_record_days}"
            )
        return self

    @property
    def relaxed(self) -> bool:
        """True in development, where weak or missing secrets are tolerated."""
        return self.environment == "development"

    @property
    def tiers(self) -> dict[str, Tier]:
        """The tiers with their limits, the smallest first."""
        tiers = {}
        for part in self.tier_limits.split(","):
            name, figures = part.split("=")
            hourly, burst, concurrent = map(int, figures.split("/"))
            tiers[name] = Tier(hourly, burst, concurrent, TIERS[name].ai_per_hour)
        return tiers

    @property
    def jwt_key(self) -> str:
        """The key that signs login tokens."""
        return self.jwt_secret.get_secret_value() or DEVELOPMENT_JWT_SECRET

    @property
    def pepper(self) -> bytes:
        """The key of the hash of API keys."""
        return (self.api_key_pepper.get_secret_value() or DEVELOPMENT_API_KEY_PEPPER).encode()


def load_settings(**overrides: Any) -> Settings:
    """Read and judge the settings.

    Raises SettingsError with one line naming the setting, what is wrong and the cure.
    """
    _refuse_unknown_variables()
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        first, *rest = error.errors()
        name = PREFIX + str(first["loc"][0]).upper()
        others = ", ".join(PREFIX + str(item["loc"][0]).upper() for item in rest)
        more = f" (also wrong: {others})" if others else ""
        message = first["msg"].removeprefix("Value error, ")
        cure = "" if "; " in message else "; `search-api env-example` shows what it takes"
        raise SettingsError(f"{name}: {message}{cure}{more}") from None
    _refuse_weak_secrets(settings)
    _refuse_plain_text_links(settings)
    return settings


def _refuse_unknown_variables() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(
        name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known
    )
    if unknown:
        raise SettingsError(
            f"{unknown[0]}: is no setting; remove it, or correct its name (see `search-api env-example`)"
        )


def _refuse_weak_secrets(settings: Settings) -> None:
    faults = {"encryption_keys": encryption_keys_fault(settings.encryption_keys.get_secret_value())}
    if not settings.relaxed:
        for name in ("jwt_secret", "api_key_pepper"):
            faults[name] = random_secret_fault(getattr(settings, name).get_secret_value())
        if settings.jwt_secret == settings.api_key_pepper and not faults["api_key_pepper"]:
            faults["api_key_pepper"] = "is the same as jwt_secret; make it another random value"
        faults["database_password"] = password_fault(settings.database_password.get_secret_value())
        if settings.environment != "test":
            faults["redis_password"] = password_fault(settings.redis_password.get_secret_value())
        if settings.migrate_database_user:
            faults["migrate_database_password"] = password_fault(
                settings.migrate_database_password.get_secret_value()
            )
        cheap = settings.password_memory_kib < 19_456 or settings.password_time_cost < 2
        if cheap and settings.environment != "test":
            faults["password_memory_kib"] = "is too little; use 19456 KiB and 2 passes or more"  # noqa: S105
    if settings.ai_base_url and not settings.ai_api_key.get_secret_value():
        faults["ai_api_key"] = "is missing; give the key of ai_base_url, or leave both empty"
    wrong = {name: fault for name, fault in faults.items() if fault}
    if wrong:
        name, fault = next(iter(wrong.items()))
        others = ", ".join(PREFIX + other.upper() for other in list(wrong)[1:])
        raise SettingsError(
            f"{PREFIX}{name.upper()}: {fault}" + (f" (also wrong: {others})" if others else "")
        )


def _refuse_plain_text_links(settings: Settings) -> None:
    if settings.environment not in ("staging", "production"):
        return
    for part in ("database", "redis"):
        host = getattr(settings, f"{part}_host")
        if host not in LOOPBACK_NAMES and getattr(settings, f"{part}_tls_ca") is None:
            raise SettingsError(
                f"{PREFIX}{part.upper()}_TLS_CA: is missing and {host} is another machine; "
                "name the CA certificate that signed its certificate"
            )
    ai = urlsplit(settings.ai_base_url)
    if ai.scheme == "http" and ai.hostname not in LOOPBACK_NAMES:
        raise SettingsError(f"{PREFIX}AI_BASE_URL: sends users' texts in the clear; give an https:// address")
