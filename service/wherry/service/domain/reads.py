"""What a stage read of the project without declaring it, as it is kept with its result."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import SnapshotFile

_DVC_FILES = frozenset({"dvc.yaml", "dvc.lock", ".dvcignore", ".gitignore"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """A project file with the content that was read."""

    path: ProjectPath
    hash: BlobHash
    size_bytes: int
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """The undeclared files that a stage read."""

    files: tuple[ReadFile, ...] = ()
    """Sorted by path."""
    all_files: str = ""
    """Where it cannot be seen what a stage reads: a fingerprint of all files that it may have read. Else empty."""

    @property
    def fingerprint(self) -> str:
        """Tells the reads of two results apart; empty: nothing was read."""
        if self.all_files or not self.files:
            return self.all_files
        return _fingerprint([(file.path, file.hash, file.executable) for file in self.files])

    def changed_in(self, files: Mapping[ProjectPath, SnapshotFile]) -> tuple[ReadFile, ...]:
        """Those that another state of the project lacks or has with other content."""
        return tuple(read for read in self.files if not _is_same(read, files.get(read.path)))


class ProjectFiles:
    """The files of one submission as far as stages may have read them all."""

    def __init__(self, files: Mapping[ProjectPath, SnapshotFile]) -> None:
        """Nothing is computed before it is asked for: it is seldom needed, and the same for most stages."""
        self._files = files
        self._fingerprints: dict[frozenset[ProjectPath], str] = {}

    def fingerprint(self, without: frozenset[ProjectPath]) -> str:
        """Stand for all files but DVC's own and those in `without`: of params files only the declared keys count."""
        if without not in self._fingerprints:
            counted = (path for path in sorted(self._files) if path not in without and not is_dvc_file(path))
            self._fingerprints[without] = _fingerprint(
                [(path, self._files[path].hash, self._files[path].executable) for path in counted]
            )
        return self._fingerprints[without]


def is_dvc_file(path: ProjectPath) -> bool:
    """Whether DVC's own programs read it in every stage that uses them, and it says nothing to the command.

    What dvc.yaml says of the stage itself is in the key; dvc.lock changes with every run, and .gitignore files with the
    outputs that are kept out of git.
    """
    parts = path.split("/")
    return parts[-1] in _DVC_FILES or ".dvc" in parts


def is_bytecode(path: ProjectPath) -> bool:
    """Whether it is Python's own copy of a source file, which is looked at whenever the source is."""
    return path.endswith(".pyc") and "__pycache__" in path.split("/")


def _is_same(read: ReadFile, now: SnapshotFile | None) -> bool:
    return now is not None and (now.hash, now.executable) == (read.hash, read.executable)


def _fingerprint(files: Collection[tuple[str, str, bool]]) -> str:
    digest = hashlib.sha256()
    for path, content, executable in files:
        # A path has no NUL, a hash no blank.
        line = f"{path}\0{content}{' +x' if executable else ''}\n"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
