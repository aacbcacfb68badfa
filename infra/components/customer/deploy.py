"""The customer's corpus: the distribution's package descriptions, from the machine's own package lists."""

from __future__ import annotations

from infra.components.mysql.deploy import CUSTOMER_DATABASE
from infra.components.mysql.server import SERVERS
from infra.components.naming import component
from infra.components.rendering import program
from infra.components.target import Target
from infra.operations import files, states

PROGRAM = "/usr/local/sbin/load-package-corpus"
SECONDS = 280


@component("Customer")
def corpus(here: Target) -> None:
    """Loads the corpus when the package lists, the program or the table have changed."""
    client = SERVERS[here.flavour].client
    text = program("customer", "load-package-corpus.py")
    files.present(name="The corpus' loader", wanted=[files.File(PROGRAM, text, mode="755")])
    states.reached(
        name="Load the corpus",
        key="corpus",
        wanted=text,
        observe=(
            "cd /var/lib/apt/lists && sha256sum *_Packages* *_Translation-en*; "  # noqa: S608 (constants)
            f"{client} -N {CUSTOMER_DATABASE} -e 'SELECT COUNT(*) FROM packages'"
        ),
        # The statements go through a file so that a loader that fails halfway changes nothing.
        apply=(
            "work=$(mktemp -d /var/tmp/corpus.XXXXXXXX); trap 'rm -rf \"$work\"' EXIT\n"
            f'{PROGRAM} >"$work/corpus.sql"\n'
            f'timeout {SECONDS} {client} {CUSTOMER_DATABASE} <"$work/corpus.sql" 2>"$work/errors" '
            # The client repeats the whole statement; its last words are enough.
            '|| { tail -c 300 "$work/errors" >&2; exit 1; }'
        ),
    )
