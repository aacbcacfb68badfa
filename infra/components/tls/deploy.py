"""Certificates: the fleet's CA, the machine's own certificate, and for each server a key that only it can read."""

from __future__ import annotations

from pyinfra.api.exceptions import PyinfraError

from infra.components.naming import component
from infra.components.target import Target
from infra.operations import files
from inventories import pki
from inventories.schema import InventoryError

FOLDER = "/etc/ssl/launchgate"
CA = f"{FOLDER}/ca.crt"
CERTIFICATE = f"{FOLDER}/machine.crt"
EDGE_CERTIFICATE = f"{FOLDER}/edge.crt"
EDGE_KEY = f"{FOLDER}/edge.key"
# NGINX and sshd read keys as root, before they give up their rights; database and cache read theirs as themselves.
KEY_OWNERS = {"nginx": ("lb", "app"), "mysql": ("db", "customer"), "redis": ("cache",)}


def key_of(server: str) -> str:
    """Where a server ("nginx", "mysql", "redis") finds the machine's key."""
    return f"{FOLDER}/{server}.key"


@component("TLS")
def tls(here: Target) -> None:
    """Puts certificates and keys in place; servers notice by the files' digests."""
    try:
        wanted = certificate_files(here)
    except InventoryError as error:
        raise PyinfraError(str(error)) from None
    files.present(name="Certificates and keys", wanted=wanted)


def certificate_files(here: Target) -> list[files.Wanted]:
    """What this machine's servers need. Raises InventoryError when the edge's own certificate cannot be read."""
    own = pki.machine_certificate(here.inventory, here.machine)
    wanted: list[files.Wanted] = [
        files.Folder(FOLDER),
        files.File(CA, pki.authority(here.inventory)),
        files.File(CERTIFICATE, own.certificate),
    ]
    for server, roles in KEY_OWNERS.items():
        if here.has(*roles):
            owner = "root" if server == "nginx" else server
            wanted.append(files.File(key_of(server), own.key, mode="400", owner=f"{owner}:{owner}"))
    if here.has("lb"):
        edge = pki.edge_certificate(here.inventory)
        wanted.append(files.File(EDGE_CERTIFICATE, edge.certificate))
        wanted.append(files.File(EDGE_KEY, edge.key, mode="400"))
    return wanted
