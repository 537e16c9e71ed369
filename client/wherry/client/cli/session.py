"""What every command that talks to a service begins with."""

import contextlib
import os
from collections.abc import Iterator

from wherry.client.cli.settings import Settings
from wherry.client.cli.terminal import Terminal
from wherry.client.client import Client


@contextlib.contextmanager
def open_session(settings: Settings) -> Iterator[tuple[Client, Terminal]]:
    """Connect as the flags and the environment say; the connection is closed at the end."""
    terminal = Terminal(settings)
    with Client(
        server=settings.server,
        profile=settings.profile,
        folder=settings.folder,
        environ=os.environ,
        progress=terminal,
    ) as client:
        yield client, terminal
