"""The page at `/`: one file without anything from elsewhere, its compressed twin, and the policy that fits it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from pathlib import Path

from infra.operations import files

FOLDER = "/var/www/search-api"
PAGE = f"{FOLDER}/landing.html"
_SOURCE = Path(__file__).parent / "pages" / "landing.html"


def landing_files() -> list[files.Wanted]:
    """The page and, beside it, what NGINX sends to browsers that take gzip."""
    body = _SOURCE.read_bytes()
    # Without a time of writing in it, so that the same page always makes the same file.
    packed = gzip.compress(body, compresslevel=9, mtime=0)
    return [files.Folder(FOLDER), files.File(PAGE, body), files.File(f"{PAGE}.gz", packed)]


def content_policy() -> str:
    """What the page may do: run its own script and style, known by their hashes, and ask for the status."""
    text = _SOURCE.read_text()
    return (
        f"default-src 'none'; script-src {_hashes(text, 'script')}; style-src {_hashes(text, 'style')}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hashes(text: str, element: str) -> str:
    found = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
    digests = (hashlib.sha256(inside.encode()).digest() for inside in found)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
