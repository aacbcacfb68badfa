"""On an app machine, as root: what the process of one slot really runs with. Prints one line of JSON.

Argument: the slot. The settings are read as the process read them: from its own environment and credentials, by its
own release's code. No secret is printed.
"""

import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SECRETS = "password", "secret", "pepper", "encryption_keys"


def main(slot: str) -> None:
    """Looks at everything, part by part: one part that fails must not hide the others."""
    pid = _main_pid(slot)
    environment = _environment(pid)
    os.environ.clear()
    os.environ.update(environment)
    seen: dict[str, Any] = {
        "pid": pid,
        # Settings are read at the start: what was changed later is not in force.
        "stale": _started(slot) < Path("/etc/search-api/search-api.env").stat().st_mtime,
        "release": Path(f"/srv/search-api/slots/{slot}").resolve().name,
        "command": _command(pid),
        "workers": _workers(pid),
        "environment": {
            name: _shown(name, value) for name, value in environment.items() if name.startswith("SEARCH_API_")
        },
        "credentials": _credentials(environment.get("CREDENTIALS_DIRECTORY", "")),
    }
    for name, part in (
        ("settings", _settings),
        ("database", _database),
        ("redis", _redis),
        ("schema", _schema),
    ):
        try:
            seen[name] = part()
        except Exception as fault:
            # Whatever the release's code raises is what this look found.
            seen[name] = {"fault": f"{type(fault).__name__}: {fault}"[:400]}
    print(json.dumps(seen, default=str))


def _main_pid(slot: str) -> int:
    words = ["systemctl", "show", "-p", "MainPID", "--value", f"search-api@{slot}.service"]
    return int(subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout)


def _started(slot: str) -> float:
    words = ["systemctl", "show", "--timestamp=unix", "-p", "ExecMainStartTimestamp", "--value"]
    done = subprocess.run(
        [*words, f"search-api@{slot}.service"], capture_output=True, text=True, timeout=10, check=True
    )
    # Whole seconds: a start within the second of the change counts as later.
    return float(done.stdout.strip().lstrip("@")) + 1


def _environment(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ").strip()


def _workers(pid: int) -> int:
    """Child processes that serve; the one that only tracks shared memory does not."""
    found = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            command = (place / "cmdline").read_bytes()
        except OSError:
            continue
        found += parent == pid and b"resource_tracker" not in command
    return found


def _shown(name: str, value: str) -> str:
    return "[secret]" if any(word in name.lower() for word in SECRETS) else value


def _credentials(directory: str) -> list[dict[str, Any]]:
    if not directory:
        return []
    return [
        {"name": path.name, "mode": oct(path.stat().st_mode & 0o777), "size": path.stat().st_size}
        for path in sorted(Path(directory).iterdir())
    ]


def _service(module: str) -> Any:
    return importlib.import_module(f"search_api.{module}")


def _settings() -> Any:
    settings = _service("settings").load_settings()
    return {
        "version": _service("version").__version__,
        "values": json.loads(settings.model_dump_json()),
        "secret": [
            name for name, field in type(settings).model_fields.items() if "Secret" in str(field.annotation)
        ],
    }


def _database() -> Any:
    """Over the service's own engine: who answers, over what, and how the pool is built."""
    text = importlib.import_module("sqlalchemy").text
    engine = _service("database").open_engine(_service("settings").load_settings())
    with engine.connect() as connection:
        name, port, user, schema, only_reads = connection.execute(
            text("SELECT @@hostname, @@port, CURRENT_USER(), DATABASE(), @@read_only")
        ).one()
        cipher = connection.execute(text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).one()[1]
        limits = dict(
            connection.execute(
                text(
                    "SHOW VARIABLES WHERE Variable_name IN ('max_connections', 'wait_timeout', 'max_user_connections')"
                )
            ).all()
        )
    pool = engine.pool
    engine.dispose()
    return {
        "host": name, "port": port, "user": user, "schema": schema, "read_only": only_reads, "cipher": cipher,
        "limits": limits,
        "pool": {
            "class": type(pool).__name__, "size": pool.size(), "overflow": pool._max_overflow, "wait": pool._timeout,
            "recycle": pool._recycle, "pre_ping": pool._pre_ping,
        },
    }  # fmt: skip


def _redis() -> Any:
    settings = _service("settings").load_settings()
    library = importlib.import_module("redis")
    tls = {}
    if settings.redis_tls_ca is not None:
        tls = {"ssl": True, "ssl_ca_certs": str(settings.redis_tls_ca), "ssl_check_hostname": True}
    client = library.Redis(
        host=settings.redis_host, port=settings.redis_port, username=settings.redis_user or None,
        password=settings.redis_password.get_secret_value() or None, socket_timeout=3, socket_connect_timeout=3, **tls,
    )  # fmt: skip
    answer = {"ping": client.ping(), "service_says_alive": _service("cache").Cache(settings).alive()}
    connection = client.connection_pool.get_connection()
    peer = connection._sock
    answer |= {"peer": peer.getpeername()[0], "tls": getattr(peer, "version", lambda: None)()}
    client.close()
    return answer


def _schema() -> Any:
    """What the release's code expects of the database, and how each migration goes back."""
    models, database, settings = (
        _service("models"),
        _service("database"),
        _service("settings").load_settings(),
    )
    engine = database.open_engine(settings)
    return {
        "fault": "",
        "service_says": database.schema_fault(engine),
        "number": f"{database.SCHEMA_NUMBER:04d}",
        "tables": {
            table.name: {
                "columns": [column.name for column in table.columns],
                "indexes": [
                    *(_index(index.columns, index.unique) for index in table.indexes),
                    *(_index([column], True) for column in table.columns if column.unique),
                    _index(table.primary_key.columns, True),
                ],
            }
            for table in models.Base.metadata.sorted_tables
        },
        "migrations": _migrations(),
    }


def _index(columns: Any, unique: Any) -> dict[str, Any]:
    return {"columns": [column.name for column in columns], "unique": bool(unique)}


def _migrations() -> list[dict[str, Any]]:
    alembic = importlib.import_module("alembic.config").Config()
    alembic.set_main_option("script_location", str(Path(_service("migrate").__file__).parent / "migrations"))
    scripts = importlib.import_module("alembic.script").ScriptDirectory.from_config(alembic)
    return [
        {"revision": one.revision, "down_revision": one.down_revision, "down_sql": _down_sql(one.module)}
        for one in scripts.walk_revisions()
    ]


def _down_sql(module: Any) -> str:
    """The statements of a downgrade, without a database."""
    out = io.StringIO()
    context = importlib.import_module("alembic.migration").MigrationContext.configure(
        dialect_name="mysql", opts={"as_sql": True, "output_buffer": out}
    )
    with importlib.import_module("alembic.operations").Operations.context(context):
        module.downgrade()
    return " ".join(out.getvalue().split())[:300]


if __name__ == "__main__":
    main(sys.argv[1])
