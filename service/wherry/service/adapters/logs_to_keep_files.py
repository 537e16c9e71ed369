"""What is on its way into the log archive, in files: the LogsToKeep port.

One small file a log, `<folder>/<name>.json`, as the lines themselves are files of this machine. Like those it is not
forced to disk.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from wherry.service.domain.errors import Unavailable
from wherry.service.domain.task import LogName, RunId
from wherry.service.ports.log_archive import LogsToKeep, LogToKeep

_T = TypeVar("_T")


class FileLogsToKeep(LogsToKeep):
    """Files below one folder. Only one service may use it at a time."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, making it if need be."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def note(self, log: LogToKeep) -> None:
        """See the port."""
        said = json.dumps({"run_id": log.run_id, "stage": log.stage, "after": log.after})
        await _in_thread(lambda: _write(self._path_of(log.name), said))

    async def forget(self, name: LogName) -> None:
        """See the port."""
        await _in_thread(lambda: self._path_of(name).unlink(missing_ok=True))

    async def list(self) -> Sequence[LogToKeep]:
        """See the port."""
        return await _in_thread(lambda: _read_all(self._folder))

    def _path_of(self, name: LogName) -> Path:
        return self._folder / f"{name}.json"


def _write(path: Path, said: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(said)
    temporary.replace(path)


def _read_all(folder: Path) -> list[LogToKeep]:
    found = []
    for path in sorted(folder.glob("*.json")):
        # What lost its end with the machine's power can only be passed over.
        with contextlib.suppress(ValueError, LookupError, TypeError):
            said = json.loads(path.read_text())
            run_id, stage, after = RunId(said["run_id"]), str(said["stage"]), int(said["after"])
            found.append(LogToKeep(name=LogName(path.stem), run_id=run_id, stage=stage, after=after))
    return found


async def _in_thread(action: Callable[[], _T]) -> _T:
    try:
        return await asyncio.to_thread(action)
    except OSError as exc:
        raise Unavailable(
            f"outputs to be kept cannot be noted: {os.strerror(exc.errno or 0)}",
            hint="Make room on the service's disk.",
        ) from exc
