"""`python -m infra.release`: the conductor's commands without the rest of `launchgate`."""

from infra.release.commands import app

if __name__ == "__main__":
    app()
