"""Metrics: Prometheus on the operations machine reads every machine and the service."""

from __future__ import annotations

from infra.components.naming import component
from infra.components.rendering import render
from infra.components.target import Target
from infra.components.tls import deploy as tls
from infra.operations import files, units

NODE_DEFAULTS = "/etc/default/prometheus-node-exporter"
DEFAULTS = "/etc/default/prometheus"
CONFIG = "/etc/prometheus/prometheus.yml"


@component("Metrics")
def metrics(here: Target) -> None:
    """Runs the exporter everywhere and Prometheus on ops."""
    exporter = f'ARGS="--web.listen-address={here.machine.address}:9100"\n'
    files.present(name="Configure the node exporter", wanted=[files.File(NODE_DEFAULTS, exporter)])
    units.running(
        name="Run the node exporter", unit="prometheus-node-exporter.service", restart_on=[NODE_DEFAULTS]
    )
    if here.has("ops"):
        files.present(
            name="Configure Prometheus",
            wanted=prometheus_files(here),
            validate=f"promtool check config {CONFIG}",
        )
        units.running(
            name="Run Prometheus",
            unit="prometheus.service",
            restart_on=[DEFAULTS],
            reload_on=[CONFIG, tls.CA],
        )


def prometheus_files(here: Target) -> list[files.Wanted]:
    """Prometheus' files; it listens on this machine only."""
    storage = "--storage.tsdb.retention.time=15d --storage.tsdb.retention.size=4GB"
    arguments = f'ARGS="--web.listen-address=127.0.0.1:9090 {storage}"\n'
    config = render(
        "metrics",
        "prometheus.yml.j2",
        inventory=here.inventory,
        ca=tls.CA,
        app_name=f"app.{here.settings.domain}",
    )
    return [files.File(DEFAULTS, arguments), files.File(CONFIG, config)]
