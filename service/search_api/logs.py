"""JSON logs on standard output, one object a line. Secrets are kept out at the source and struck out here again."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from search_api.settings import Settings

STRUCK = "[removed]"
_SECRET_NAMES = re.compile(
    r"password|secret|token|authorization|api_?key$|pepper|credential|cookie", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"lg_sk_(?:test|live)_[0-9A-Za-z]+"
    r"|eyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

EventDict = MutableMapping[str, Any]


def configure_logs(settings: Settings) -> None:
    """Send the service's own logs and those of its libraries through one JSON renderer."""
    secrets = _secret_values(settings)

    def strike(_logger: object, _method: str, event: EventDict) -> EventDict:
        return strike_secrets(event, secrets)

    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        strike,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.ExtraAdder(allow=set()),
                structlog.stdlib.add_logger_name,
                *shared,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(_LEVELS[settings.log_level])
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic"):
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("openai", "httpx2", "httpcore2"):
        # On lower levels they log whole requests: users' texts.
        logging.getLogger(name).setLevel(logging.WARNING)


def strike_secrets(event: EventDict, secrets: tuple[str, ...] = ()) -> EventDict:
    """Replace values whose name or text looks like a secret, and the service's own secrets, wherever they are."""
    for name, value in event.items():
        event[name] = STRUCK if _SECRET_NAMES.search(name) and value else _clean(value, secrets)
    return event


def _clean(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, STRUCK)
        return _SECRET_TEXT.sub(STRUCK, value)
    if isinstance(value, dict):
        return strike_secrets(dict(value), secrets)
    if isinstance(value, list | tuple):
        return [_clean(item, secrets) for item in value]
    return value


def _secret_values(settings: Settings) -> tuple[str, ...]:
    values = [
        settings.database_password,
        settings.migrate_database_password,
        settings.redis_password,
        settings.jwt_secret,
        settings.api_key_pepper,
        settings.encryption_keys,
        settings.ai_api_key,
    ]
    return tuple(text for value in values if len(text := value.get_secret_value()) >= 8)
