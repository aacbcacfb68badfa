"""Replication by GTID over verified TLS, in either server's words."""

from __future__ import annotations

from infra.components.mysql.server import Server

WAIT_SECONDS = 30


def replica_script(server: Server, primary: str, password: str, ca: str) -> tuple[str, str]:
    """A shell script and the SQL that it reads on standard input; safe to repeat."""
    if server.flavour == "mariadb":
        statements = (
            "STOP SLAVE;\n"
            f"CHANGE MASTER TO MASTER_HOST='{primary}', MASTER_PORT=3306, MASTER_USER='replica', "
            f"MASTER_PASSWORD='{password}', MASTER_SSL=1, MASTER_SSL_CA='{ca}', MASTER_SSL_VERIFY_SERVER_CERT=1, "
            "MASTER_CONNECT_RETRY=5, MASTER_USE_GTID=slave_pos;\n"
            "START SLAVE;\n"
        )
    else:
        statements = (
            "STOP REPLICA;\n"
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='{primary}', SOURCE_PORT=3306, SOURCE_USER='replica', "
            f"SOURCE_PASSWORD='{password}', SOURCE_SSL=1, SOURCE_SSL_CA='{ca}', SOURCE_SSL_VERIFY_SERVER_CERT=1, "
            "SOURCE_CONNECT_RETRY=5, SOURCE_AUTO_POSITION=1;\n"
            "START REPLICA;\n"
        )
    script = "\n".join(
        [
            server.client,
            f"for i in $(seq {WAIT_SECONDS}); do",
            f'  [ "$( {_threads(server)} )" = 2 ] && break; sleep 1',
            "done",
            # A replica whose primary no longer holds the history needs a copy of the data first: say so.
            f'[ "$( {_threads(server)} )" = 2 ] || {{ echo "no replication; copy the primary\'s data first:" >&2; '
            f"{_status(server)} | grep -E 'Last_.*Error:' >&2; exit 1; }}",
        ]
    )
    return script, statements


def replica_seen(server: Server) -> str:
    """A command that shows what matters of replication and nothing that changes by itself."""
    threads = "(Slave|Replica)_(IO|SQL)_Running"
    kept = f"{threads}|(Master|Source)_(Host|User|Port|SSL_Allowed|SSL_Verify_Server_Cert)|Using_Gtid|Auto_Position"
    return f"{_status(server)} | grep -E '^ *({kept}):'"


def _status(server: Server) -> str:
    verb = "SLAVE" if server.flavour == "mariadb" else "REPLICA"
    # -E, not \G: newer MySQL clients do not know \G any more.
    return f"{server.client} -E -e 'SHOW {verb} STATUS'"


def _threads(server: Server) -> str:
    return f"{_status(server)} | grep -cE '(Slave|Replica)_(IO|SQL)_Running: Yes'"
