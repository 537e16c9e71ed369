"""What a container has written so far, and writes from now on, as the engine's own copy of it has it."""

from collections.abc import Iterator
from typing import Any

from docker import APIClient

from wherry.service.ports.containers import ContainerId


class LogConnection:
    """The engine's answer, read like the connection that a container is attached to: OutputRelay takes either."""

    def __init__(self, client: APIClient, container: ContainerId) -> None:
        """Ask for all of it, from the first byte to the end of the container."""
        # The SDK's own `logs` gives the bytes without saying which stream they are of.
        self._answer = client.get(
            f"{client.base_url}/v{client.api_version}/containers/{container}/logs",
            params={"stdout": "1", "stderr": "1", "follow": "1", "tail": "all"},
            stream=True,
            timeout=None,
        )
        self._answer.raise_for_status()
        untyped: Any = self._answer.raw
        self._socket = untyped.connection.sock
        self._pieces: Iterator[bytes] = self._answer.iter_content(chunk_size=None)

    def read(self, _size: int) -> bytes:
        """The next bytes, however many; none at the end."""
        return next(self._pieces, b"")

    def fileno(self) -> int:
        """Of the connection below, so that it can be shut down while it is read."""
        return int(self._socket.fileno())

    def close(self) -> None:
        """Give the connection back."""
        self._answer.close()
