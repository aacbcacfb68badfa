"""Runs the application under uvicorn: one parent, several workers, one socket."""

import os
import socket
from pathlib import Path

import uvicorn

from search_api.settings import Settings

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class ServeError(Exception):
    """The server cannot start. The message says why and what to do."""


def serve(settings: Settings, *, uds: Path | None, host: str, port: int, workers: int | None) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests finish. Raises ServeError."""
    if directory := settings.metrics_dir or os.environ.get(METRICS_VARIABLE):
        # Before prometheus_client is imported anywhere, which decides by this variable.
        os.environ[METRICS_VARIABLE] = str(directory)
        _prepare_metrics(Path(directory))
    if uds is not None:
        _clear_stale_socket(uds)
    uvicorn.run(
        "search_api.app:create_app",
        factory=True,
        uds=str(uds) if uds is not None else None,
        host=host,
        port=port,
        workers=workers or settings.workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        # The application reads X-Forwarded-For itself, by the trusted_proxies setting.
        proxy_headers=False,
        timeout_keep_alive=int(settings.keep_alive),
        timeout_graceful_shutdown=int(settings.shutdown_timeout),
        timeout_worker_healthcheck=30,
        backlog=2048,
    )


def _prepare_metrics(directory: Path) -> None:
    """Make the directory for the workers' metrics and forget those of earlier workers."""
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        for stale in directory.glob("*.db"):
            stale.unlink()
    except OSError as error:
        raise ServeError(
            f"{directory}: cannot hold metrics ({error.strerror}); make it writable for the service"
        ) from None


def _clear_stale_socket(path: Path) -> None:
    """Remove what a killed server left; refuse to take a living server's socket."""
    if not path.exists():
        return
    if not path.is_socket():
        raise ServeError(f"{path}: is in the way and is no socket; remove it or name another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise ServeError(f"{path}: is in the way ({error.strerror}); remove it") from None
    raise ServeError(f"{path}: another server answers there; stop it first")
