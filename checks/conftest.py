"""`pytest checks --inventory FILE` is the release gate."""

pytest_plugins = ["checks.gate.plugin", "checks.probes.accounts"]
