"""Time as the API speaks it: aware, UTC, milliseconds, RFC 3339."""

import time
from datetime import UTC, datetime
from typing import Annotated

from pydantic import PlainSerializer

STARTED = time.monotonic()


def now() -> datetime:
    """The current time, aware, UTC, whole milliseconds."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def rfc3339(moment: datetime) -> str:
    """For example 2026-01-31T12:00:00.000Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def uptime() -> float:
    """Seconds since this process loaded the service."""
    return round(time.monotonic() - STARTED, 3)


UtcTime = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
