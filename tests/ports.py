"""Ports that the system gives to nobody by itself: one that is free stays so until somebody asks for it by its number."""

import random
import socket
from pathlib import Path

_FIRST = 10_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def unused_port() -> int:
    """A port of loopback on which nobody listens, and from which no connection will be made."""
    given_from = int(_RANGE.read_text().split()[0])
    while True:
        # Not of a generator that a library may have seeded alike in every process.
        port = random.SystemRandom().randrange(_FIRST, max(given_from, _FIRST + 1000))
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
