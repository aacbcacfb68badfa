"""SSH: keys only, no root, current algorithms; judged by sshd itself before it is put in force."""

from __future__ import annotations

from infra.components.naming import component
from infra.components.rendering import render
from infra.components.target import Target
from infra.operations import files, units

# Sorts first: sshd takes the first value it meets.
DROP_IN = "/etc/ssh/sshd_config.d/00-launchgate.conf"


@component("SSH")
def ssh(here: Target) -> None:
    """Hardens the server without dropping the connection that we came by."""
    files.present(
        name="Configure sshd",
        wanted=[files.File(DROP_IN, render("ssh", "sshd.conf.j2", port=here.machine.ssh_port), mode="600")],
        validate="mkdir -p /run/sshd && /usr/sbin/sshd -t",
    )
    units.running(name="Run sshd", unit="ssh.service", reload_on=[DROP_IN])
