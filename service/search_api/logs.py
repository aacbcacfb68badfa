"""JSON logs on standard output, one object a line. Secrets are kept out at the source and struck out here again."""

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from pydantic import SecretStr

from search_api.settings import Settings

STRUCK = "[removed]"
_SHORTEST_SECRET = 8
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
    handler = _Lines(sys.stdout)
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


class _Lines(logging.StreamHandler[TextIO]):
    """Also takes lines that are rendered already. A log that cannot be written never fails a request."""

    def write(self, line: str) -> None:
        self.acquire()
        try:
            self.stream.write(line + self.terminator)
            self.flush()
        except (OSError, ValueError):
            return
        finally:
            self.release()


def log_request(*, request_id: str, **fields: Any) -> None:
    """Write the line of a request like any other, at level info, without what the general way costs.

    Its fields are known: only the request id is a caller's own text, so only that is struck.
    """
    root = logging.getLogger()
    if not root.isEnabledFor(logging.INFO):
        return
    line = fields | {
        "request_id": _SECRET_TEXT.sub(STRUCK, request_id),
        "level": "info",
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "message": "request",
    }
    text = json.dumps(line)
    for handler in root.handlers:
        if isinstance(handler, _Lines):
            handler.write(text)


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
    """Every secret setting, and the keys inside the list of encryption keys, longest first."""
    values = [value for _, value in settings if isinstance(value, SecretStr)]
    texts = {value.get_secret_value() for value in values}
    texts |= {part for text in texts for entry in text.split(",") for part in entry.split(":", 1)}
    return tuple(sorted((text for text in texts if len(text) >= _SHORTEST_SECRET), key=len, reverse=True))
