"""Checks of hardening: firewall, SSH, who reaches what, and encryption on every hop."""
