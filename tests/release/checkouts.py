"""A small service in git, so that tests build real wheels of it."""

import hashlib
import zipfile
from pathlib import Path

from infra.release.source import git

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "search-api"
dynamic = ["version"]
requires-python = ">=3.11"
[tool.hatch.version]
path = "search_api/version.py"
[tool.hatch.build.targets.wheel]
packages = ["search_api"]
"""


def commit(checkout: Path) -> None:
    git(checkout, "add", "--all")
    git(checkout, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", "change")


def empty_wheel(place: Path, name: str) -> str:
    """A wheel without content, made here; returns its SHA-256."""
    path = place / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in (
            ("METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"),
            ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            ("RECORD", ""),
        ):
            wheel.writestr(zipfile.ZipInfo(f"{name}-1.0.dist-info/{file}"), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()
