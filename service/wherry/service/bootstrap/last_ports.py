"""Which ports the service had the last time it ran."""

import json
from pathlib import Path


class LastPorts:
    """Ports that were used last, so that addresses which people wrote down stay true."""

    def __init__(self, path: Path) -> None:
        """Keep them in the file `path`."""
        self._path = path
        self._ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def get(self, name: str) -> int | None:
        """The last port of a listener; None: it had none."""
        return self._ports.get(name)

    def keep(self, name: str, port: int) -> None:
        """Remember a listener's port."""
        self._ports[name] = port
        self._path.write_text(json.dumps(self._ports))
