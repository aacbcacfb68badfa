"""The yardstick of the bench: a bare FastAPI endpoint that gives one search answer, in the service's response model.

uvicorn loadtests.bare_app:app   (BARE_ANSWER names the file with the answer's ``data`` as JSON)
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel


class Meta(BaseModel):
    """As the service's envelope has it."""

    timestamp: datetime
    requestId: str
    version: str
    executionTime: float | None = None
    apiKeyTier: str | None = None


class Envelope(BaseModel):
    """As the service's envelope."""

    success: Literal[True] = True
    data: dict[str, Any]
    meta: Meta


class Question(BaseModel):
    """The part of a search that the bench sends."""

    query: str
    limit: int = 20


app = FastAPI()
_data = json.loads(Path(os.environ["BARE_ANSWER"]).read_text(encoding="utf-8"))


@app.post("/search")
async def search(_question: Question) -> Envelope:
    """The answer, made anew from its parts each time."""
    meta = Meta(
        timestamp=datetime.now(UTC), requestId="bare", version="1", executionTime=0.1, apiKeyTier="free"
    )
    return Envelope(data=_data, meta=meta)
