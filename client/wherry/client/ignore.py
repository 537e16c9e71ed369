"""`.dvcignore`: gitignore's grammar, one file for each folder, the deeper one decides (DVC's rule)."""

from pathlib import Path
from typing import Protocol

FILE_NAME = ".dvcignore"


class IgnoreSpec(Protocol):
    """The patterns of one file."""

    def decide(self, path: str) -> bool | None:
        """Whether a path, relative to the file's folder, is ignored; None when no pattern fits.

        A folder ends in "/".
        """
        ...


class IgnoreRules:
    """All `.dvcignore` files of a project, each read when it is first needed."""

    def __init__(self, root: Path) -> None:
        """Take the folder that paths are relative to."""
        self._root = root
        self._specs: dict[str, IgnoreSpec | None] = {}
        self._folders: dict[str, bool] = {"": False}

    def ignores_file(self, path: str) -> bool:
        """Whether a file is ignored, by itself or with a folder above it."""
        folder = path.rpartition("/")[0]
        return self.ignores_folder(folder) or self._matches(folder, path)

    def ignores_folder(self, path: str) -> bool:
        """Whether a folder is ignored; the root, "", never is."""
        known = self._folders.get(path)
        if known is None:
            parent = path.rpartition("/")[0]
            known = self.ignores_folder(parent) or self._matches(parent, path + "/")
            self._folders[path] = known
        return known

    def _matches(self, folder: str, path: str) -> bool:
        while True:
            spec = self._spec(folder)
            decided = spec.decide(path[len(folder) + 1 :] if folder else path) if spec is not None else None
            if decided is not None:
                return decided
            if not folder:
                return False
            folder = folder.rpartition("/")[0]

    def _spec(self, folder: str) -> IgnoreSpec | None:
        if folder not in self._specs:
            self._specs[folder] = _read_spec(self._root / folder / FILE_NAME)
        return self._specs[folder]


def _read_spec(file: Path) -> IgnoreSpec | None:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    # `dvc init` writes a file of comments: most projects have no pattern at all.
    if not any(line.strip() and not line.startswith("#") for line in lines):
        return None
    return _GitIgnore(lines)


class _GitIgnore(IgnoreSpec):
    """Patterns matched by pathspec, the library that DVC uses."""

    def __init__(self, lines: list[str]) -> None:
        from pathspec import GitIgnoreSpec  # noqa: PLC0415 - 70 ms, and few projects have a pattern

        self._spec = GitIgnoreSpec.from_lines(lines)

    def decide(self, path: str) -> bool | None:
        """Ask pathspec."""
        return self._spec.check_file(path).include
