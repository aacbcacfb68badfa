"""Identifiers: UUIDs of version 7, whose order is their age, so that indexes grow at one end."""

import os
import time
import uuid


def new_id() -> str:
    """A new UUIDv7 as text."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | random_bits
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
