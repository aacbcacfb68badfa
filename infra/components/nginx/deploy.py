"""NGINX: the edge on load balancers, and on app machines the door to whichever slot is active."""

from __future__ import annotations

from infra.components.naming import component
from infra.components.nginx import landing
from infra.components.rendering import render
from infra.components.target import Target
from infra.components.tls import deploy as tls
from infra.operations import files, units

MAIN = "/etc/nginx/nginx.conf"
SLOT = "/etc/nginx/search-api-slot.conf"
# The page to try the API in loads scripts, styles and images of the service, and calls it; nothing else.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@component("NGINX")
def nginx(here: Target, codename: str) -> None:
    """Configures and runs NGINX for the machine's roles."""
    files.present(name="Configure NGINX", wanted=configuration(here, codename), validate="nginx -t -q")
    units.running(
        name="Run NGINX",
        unit="nginx.service",
        restart_on=["/etc/systemd/system/nginx.service.d/launchgate.conf"],
        reload_on=[MAIN, SLOT, "/etc/nginx/conf.d/*.conf", f"{tls.FOLDER}/*.crt", f"{tls.FOLDER}/*.key"],
    )


def configuration(here: Target, codename: str) -> list[files.Wanted]:
    """NGINX's files for this machine."""
    settings, fleet = here.settings, here.inventory
    wanted: list[files.Wanted] = [
        files.File(MAIN, render("nginx", "nginx.conf.j2")),
        files.File(
            "/etc/systemd/system/nginx.service.d/launchgate.conf", render("nginx", "nginx.service.j2")
        ),
    ]
    if here.has("lb"):
        edge = render(
            "nginx",
            "edge.conf.j2",
            domain=settings.domain,
            app_name=app_name(here),
            apps=fleet.role("app"),
            tls=tls,
            landing_folder=landing.FOLDER,
            landing_policy=landing.content_policy(),
            docs_policy=DOCS_POLICY,
            # "http2" became a directive of its own in NGINX 1.25.1; bookworm has 1.22.
            http2_directive=codename != "bookworm",
        )
        wanted += [files.File("/etc/nginx/conf.d/edge.conf", edge), *landing.landing_files()]
    if here.has("app"):
        app = render(
            "nginx",
            "app.conf.j2",
            names=[here.machine.name, app_name(here), settings.domain],
            balancers=[machine.address for machine in fleet.role("lb")],
            scrapers=[*(machine.address for machine in fleet.role("ops")), *fleet.control_addresses],
            tls=tls,
            key=tls.key_of("nginx"),
        )
        wanted.append(files.File("/etc/nginx/conf.d/app.conf", app))
        wanted.append(files.File(SLOT, render("nginx", "slot.conf.j2")))
    return wanted


def app_name(here: Target) -> str:
    """The one name that every app machine's certificate bears, for the balancer to verify."""
    return f"app.{here.settings.domain}"
