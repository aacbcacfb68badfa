"""One request to OpenAI's API over its own client, within a time that is kept whatever the other side does."""

import email.utils
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAI, OpenAIError

from search_api.ai.errors import FailedCallError
from search_api.database import verifying_context
from search_api.settings import Settings

_LARGEST_REPLY = 32 * 1024 * 1024
_TOO_MANY = 429
_MAY_WORK_AGAIN = {408, 409, 425, _TOO_MANY, 500, 502, 503, 504}
_ABOUT_THIS_ONE = {400, 413, 422}  # other refusals mean the key, the model or the address
_LONGEST_WAIT = 3600.0
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class Provider:
    """Connections to the AI. It never tries again by itself: the one loop that does is AiClient's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx2.Client(
            verify=verifying_context(settings.ai_tls_ca),
            # Nothing from the machine's environment decides where users' texts go.
            trust_env=False,
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=settings.threads, max_keepalive_connections=8),
        )
        self._openai = OpenAI(
            base_url=settings.ai_base_url,
            api_key=settings.ai_api_key.get_secret_value(),
            organization="",
            project="",
            max_retries=0,
            http_client=self._http,
        )

    def embeddings(self, texts: Sequence[str], seconds: float) -> bytes:
        """The body of a successful reply to POST /embeddings. Raises FailedCallError."""
        return _body(
            self._openai.embeddings.with_streaming_response.create(
                input=list(texts),
                model=self._settings.ai_embedding_model,
                encoding_format="float",
                timeout=seconds,
            ),
            seconds,
        )

    def chat(self, instruction: str, text: str, seconds: float) -> bytes:
        """The body of a successful reply to POST /chat/completions. Raises FailedCallError."""
        return _body(
            self._openai.chat.completions.with_streaming_response.create(
                model=self._settings.ai_model,
                messages=[{"role": "system", "content": instruction}, {"role": "user", "content": text}],
                temperature=0,
                timeout=seconds,
            ),
            seconds,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()


def _body(reply: AbstractContextManager[Any], seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    body = bytearray()
    try:
        with reply as opened:
            # The time limits of the client count from one packet to the next: a reply that drips would never end.
            for piece in opened.iter_bytes():
                body += piece
                if time.monotonic() > deadline:
                    raise FailedCallError("timeout")
                if len(body) > _LARGEST_REPLY:
                    raise FailedCallError("nonsense")
    except APIStatusError as error:
        raise _failed_status(error) from None
    except APIConnectionError as error:
        raise _failed_connection(error.__cause__, late=isinstance(error, APITimeoutError)) from None
    except httpx2.TransportError as error:
        raise _failed_connection(error, late=isinstance(error, httpx2.TimeoutException)) from None
    except (httpx2.HTTPError, OpenAIError):
        raise FailedCallError("nonsense") from None
    return bytes(body)


def _failed_status(error: APIStatusError) -> FailedCallError:
    status = error.status_code
    if status == _TOO_MANY:
        outcome = "rate_limited"
    elif status >= 500:
        outcome = "server_error"
    else:
        outcome = "refused" if status in _ABOUT_THIS_ONE else "misconfigured"
    return FailedCallError(
        outcome, again=status in _MAY_WORK_AGAIN, retry_after=_retry_after(error.response.headers)
    )


def _failed_connection(cause: BaseException | None, *, late: bool) -> FailedCallError:
    return FailedCallError(
        "timeout" if late else "unreachable", reached=not isinstance(cause, _NEVER_SENT), again=True
    )


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds that the provider asks us to wait: its own header in milliseconds, or HTTP's in seconds or as a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return min(max(0.0, float(headers.get(name, "")) * unit), _LONGEST_WAIT)
        except ValueError:
            continue
    moment = email.utils.parsedate_tz(headers.get("retry-after", ""))
    if moment is None:
        return None
    return min(max(0.0, email.utils.mktime_tz(moment) - time.time()), _LONGEST_WAIT)
