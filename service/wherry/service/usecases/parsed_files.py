"""Remember what pipeline files and locks say: projects are submitted again and again, and few of their files change.

What a file says follows from its content and from that of the files that it was seen to read. Both are compared each
time, so what is remembered is what reading it again would say.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from wherry.service.domain.dvc.context import FilesNeeded
from wherry.service.domain.dvc.dvc_config import ParsingSettings
from wherry.service.domain.dvc.lockfile import parse_lock
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.paths import ProjectPath, Surroundings
from wherry.service.domain.records import StageEntry

# Content of files whose meaning is remembered. What is made of it takes some ten times as much memory.
_BYTES_MAX = 4 * 1024 * 1024

_Load = Callable[[ProjectPath], bytes | None]


@dataclass(frozen=True, slots=True)
class _Pipeline:
    stages: tuple[Stage, ...]
    loaded: Mapping[ProjectPath, bytes | None]
    """Digests of what it read beside itself; None: there was no such file."""


class ParsedFiles:
    """Reads dvc.yaml and dvc.lock, and knows what those said that were read last."""

    def __init__(self, bytes_max: int = _BYTES_MAX) -> None:
        """Remember what files of `bytes_max` bytes together say."""
        self._bytes_max = bytes_max
        self._bytes = 0
        self._known: OrderedDict[object, tuple[int, object]] = OrderedDict()

    def pipeline(
        self,
        content: bytes,
        path: ProjectPath,
        *,
        load: _Load,
        parsing: ParsingSettings,
        around: Surroundings,
    ) -> tuple[Stage, ...]:
        """Read a dvc.yaml; `load` gives the other files that it asks for.

        Raises:
            PipelineInvalid: if it is wrong.
            FilesNeeded: as `load` does.
        """
        key = ("pipeline", path, _digest(content), parsing, around)
        known = self._find(key)
        if isinstance(known, _Pipeline) and _load_all(load, known.loaded) == known.loaded:
            return known.stages
        loaded = dict[ProjectPath, bytes | None]()

        def load_noted(wanted: ProjectPath) -> bytes | None:
            found = load(wanted)
            loaded[wanted] = _digest(found)
            return found

        stages = parse_pipeline_file(content, path, load=load_noted, parsing=parsing, around=around)
        self._keep(key, len(content), _Pipeline(stages, loaded))
        return stages

    def lock(self, content: bytes, path: ProjectPath) -> Mapping[str, StageEntry]:
        """Read a dvc.lock.

        Raises:
            PipelineInvalid: if it is wrong.
        """
        key = ("lock", path, _digest(content))
        known = self._find(key)
        if isinstance(known, Mapping):
            return known
        entries = parse_lock(content, path)
        self._keep(key, len(content), entries)
        return entries

    def _find(self, key: object) -> object:
        if key not in self._known:
            return None
        self._known.move_to_end(key)
        return self._known[key][1]

    def _keep(self, key: object, size: int, value: object) -> None:
        if key in self._known:
            self._bytes -= self._known.pop(key)[0]
        self._known[key] = (size, value)
        self._bytes += size
        while self._bytes > self._bytes_max:
            _, (forgotten, _) = self._known.popitem(last=False)
            self._bytes -= forgotten


def _load_all(load: _Load, wanted: Iterable[ProjectPath]) -> dict[ProjectPath, bytes | None]:
    """Digests of files; what is lacking is asked for in one go."""
    found, needed = dict[ProjectPath, bytes | None](), list[ProjectPath]()
    for path in wanted:
        try:
            found[path] = _digest(load(path))
        except FilesNeeded as exc:
            needed.extend(exc.paths)
    if needed:
        raise FilesNeeded(needed)
    return found


def _digest(content: bytes | None) -> bytes | None:
    return None if content is None else hashlib.sha256(content).digest()
