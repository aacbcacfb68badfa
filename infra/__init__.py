"""How the service gets onto machines: deploys, the sandbox, the release conductor, the command line."""
