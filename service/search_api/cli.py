"""The command ``search-api``."""

import argparse
import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from search_api.env_example import render_env_example
from search_api.settings import SettingsError, load_settings
from search_api.version import __version__

DONE, FAILED, USAGE = 0, 1, 2

_EXAMPLES = {
    "serve": """examples:
  search-api serve --uds /run/search-api/http.sock
  search-api serve --host 127.0.0.1 --port 8000 --workers 2""",
    "migrate": """examples:
  search-api migrate             to the newest revision; says when there is nothing to do
  search-api migrate --down 0008 back to a revision; the newer tables and columns are lost""",
    "check-settings": """examples:
  search-api check-settings      exit code 0 good, 2 not; one line names the setting that is wrong""",
    "env-example": """examples:
  search-api env-example > .env.example""",
    "create-admin": """examples:
  search-api create-admin --email root@example.com < password-file
Run again with the same password it changes nothing; with another it sets that one and ends older logins.""",
    "rotate-encryption-key": """how to change the key, without an interruption:
  1. make one:             openssl rand -base64 32
  2. on every host, second: SEARCH_API_ENCRYPTION_KEYS=old:...,new:...   restart one host after the other
  3. on every host, first:  SEARCH_API_ENCRYPTION_KEYS=new:...,old:...   restart one host after the other
  4. on one host:          search-api rotate-encryption-key
  5. when it exits with 0, on every host: SEARCH_API_ENCRYPTION_KEYS=new:...
It can be broken off and run again. Exit code 1: credentials that do not decrypt are named and left as they are;
their users must send the password again, or delete the connection, before the old key goes.""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0 done, 1 failed, 2 wrong use or settings that cannot be used."""
    options = _parser().parse_args(arguments)
    if options.command != "serve":
        # The directory belongs to the running service: other commands must not leave metrics there.
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    try:
        return int(_COMMANDS[options.command](options))
    except SettingsError as error:
        return _complain(str(error), USAGE)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        return _complain(f"the service's own database cannot be used: {reason}", FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="search-api", description="Full-text search over the user's own databases."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="answer requests")
    where = serve.add_mutually_exclusive_group()
    where.add_argument("--uds", type=Path, metavar="PATH", help="Unix socket to listen on")
    where.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--workers", type=int, help="worker processes (default: the setting)")
    migrate = commands.add_parser("migrate", help="bring the schema to the newest revision")
    migrate.add_argument("--down", metavar="REV", help="take the schema back to this revision, or to base")
    commands.add_parser("check-settings", help="judge the settings and say what they are, without secrets")
    commands.add_parser("env-example", help="print .env.example")
    admin = commands.add_parser(
        "create-admin", help="make an administrator; reads the password from standard input"
    )
    admin.add_argument("--email", required=True)
    admin.add_argument("--name", default="Administrator")
    admin.add_argument(
        "--password-file", type=Path, metavar="FILE", help="read the password from here instead"
    )
    commands.add_parser(
        "rotate-encryption-key", help="re-encrypt stored credentials under the first encryption key"
    )
    commands.add_parser(
        "purge", help="sum up full days of searches, delete what is older than the settings say"
    )
    commands.add_parser("warm-cache", help="cache the answers to users' most frequent searches")
    for name, command in commands.choices.items():
        command.formatter_class = argparse.RawDescriptionHelpFormatter
        command.epilog = _EXAMPLES.get(name)
    return parser


def _serve(options: argparse.Namespace) -> int:
    from search_api.logs import configure_logs
    from search_api.serve import ServeError, serve

    settings = load_settings()
    configure_logs(settings)
    try:
        serve(settings, uds=options.uds, host=options.host, port=options.port, workers=options.workers)
    except ServeError as error:
        return _complain(str(error), FAILED)
    return DONE


def _migrate(options: argparse.Namespace) -> int:
    from search_api.migrate import MigrationError, downgrade, upgrade

    settings = load_settings()
    try:
        before, after = downgrade(settings, options.down) if options.down else upgrade(settings)
    except MigrationError as error:
        return _complain(str(error), FAILED)
    print(f"schema: {before} -> {after}" if before != after else f"schema: {after}, nothing to do")
    return DONE


def _check_settings(_options: argparse.Namespace) -> int:
    from search_api.settings_report import report

    settings = load_settings()
    print(report(settings), end="")
    print(f"settings: good for {settings.environment}")
    return DONE


def _env_example(_options: argparse.Namespace) -> int:
    sys.stdout.write(render_env_example())
    return DONE


def _create_admin(options: argparse.Namespace) -> int:
    from search_api.administrators import create_admin
    from search_api.errors import ApiError

    settings = load_settings()
    try:
        password = _password(options.password_file)
    except (OSError, UnicodeDecodeError) as error:
        return _complain(f"{options.password_file}: cannot be read ({error}); give a text file", USAGE)
    try:
        print(create_admin(settings, email=options.email, name=options.name, password=password))
    except ApiError as error:
        details = error.details if isinstance(error.details, list) else []
        reason = "; ".join(f"{item['field']} {item['message']}" for item in details) or error.message
        return _complain(reason, USAGE)
    return DONE


def _rotate_encryption_key(_options: argparse.Namespace) -> int:
    from search_api.rotation import rotate_encryption_key

    settings = load_settings()
    done = rotate_encryption_key(settings, lambda count: print(f"re-encrypted so far: {count}", flush=True))
    print(f"key {done.key_id}: {done.rotated} re-encrypted, {len(done.unreadable)} do not decrypt")
    for connection_id in done.unreadable:
        _complain(
            f"connection {connection_id}: its credential does not decrypt and was left as it is", FAILED
        )
    return FAILED if done.unreadable else DONE


def _purge(_options: argparse.Namespace) -> int:
    from search_api.retention import purge

    for line in purge(load_settings()):
        print(line, flush=True)
    return DONE


def _warm_cache(_options: argparse.Namespace) -> int:
    from search_api.logs import configure_logs
    from search_api.services import Services
    from search_api.warming import warm_once

    settings = load_settings()
    configure_logs(settings)
    services = Services(settings)
    try:
        print(warm_once(services).described())
    finally:
        services.close()
    return DONE


def _password(file: Path | None) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    return getpass.getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")


def _complain(message: str, code: int) -> int:
    print(f"search-api: {message}", file=sys.stderr)
    return code


_COMMANDS = {
    "serve": _serve,
    "migrate": _migrate,
    "check-settings": _check_settings,
    "env-example": _env_example,
    "create-admin": _create_admin,
    "rotate-encryption-key": _rotate_encryption_key,
    "purge": _purge,
    "warm-cache": _warm_cache,
}

if __name__ == "__main__":
    sys.exit(main())
