"""Checks of what a client meets at the edge: redirects, headers, certificates."""
