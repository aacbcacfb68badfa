"""The edge's NGINX, changed for a while on its first machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checks.breaks.files import edited
from checks.gate import DidNotApply, EdgeSession, MachineUnderCheck

SITE = "/etc/nginx/conf.d/edge.conf"
# New workers serve new connections at once; the old ones may need a moment to hear of it.
RELOAD = "nginx -t -q && systemctl reload nginx && sleep 0.3"


@contextmanager
def rewritten(machine: MachineUnderCheck, script: str, *, shows: str, path: str = SITE) -> Iterator[None]:
    """Change NGINX's file by a shell script (the file is $f), reload, and put both back. See files.edited."""
    try:
        with edited(machine, path, script, shows=shows):
            machine.must(RELOAD, sudo=True)
            if shows not in machine.run("nginx -T", sudo=True).stdout:
                raise DidNotApply(f"nginx -T does not show {shows!r}")
            yield
    finally:
        machine.must(RELOAD, sudo=True)


@contextmanager
def canned(
    machine: MachineUnderCheck, edge: EdgeSession, location: str, status: int, body: str, *, probe: str
) -> Iterator[None]:
    """Have the edge answer a location ("= /health") by itself, without the service.

    `probe`: a path that must get this answer then, else DidNotApply.
    """
    block = f"    location {location} {{ default_type application/json; return {status} '{body}'; }}\n"
    insert = (
        "python3 - $f <<'END'\n"
        "import pathlib, sys\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "mark = '    location = /metrics {'\n"
        f"path.write_text(path.read_text().replace(mark, {block!r} + mark, 1))\n"
        "END"
    )
    with rewritten(machine, insert, shows=f"location {location} {{"):
        got = edge.get(probe)
        if (got.status_code, got.text) != (status, body):
            raise DidNotApply(f"{probe} answers {got.status_code} {got.text[:80]!r}")
        yield
