"""Checks of Redis: closed to strangers, bounded in memory, kept over a restart."""
