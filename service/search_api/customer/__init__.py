"""The users' own databases: which hosts may be dialled, connections, schemas."""
