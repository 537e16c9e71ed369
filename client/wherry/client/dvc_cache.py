"""DVC's cache on this machine: content by hash, in the layout and with the modes that DVC 3 gives it.

Only `cache.dir` and `cache.type` of DVC's settings are read, as the plain text that they are.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wherry.client.dvc_config import config_files, read_sections
from wherry.client.hashing import FoundFile, Hasher

TREE_SUFFIX = ".dir"

_READ_ONLY = 0o444
_COPY_BYTES = 1024 * 1024
_FICLONE = 0x40049409
_LINK_TYPES = ("reflink", "hardlink", "symlink", "copy")
_DEFAULT_TYPES = ("reflink", "copy")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """Where the cache is, and how files come from it into the workspace."""

    folder: Path
    link_types: tuple[str, ...] = _DEFAULT_TYPES
    """In the order in which they are tried."""


def read_cache_settings(root: Path, environ: Mapping[str, str] = os.environ) -> CacheSettings:
    """Read them for the project at `root`: the user's, the project's, the clone's own; the last one decides."""
    folder = root / ".dvc" / "cache"
    types: tuple[str, ...] = _DEFAULT_TYPES
    for file in config_files(root, environ):
        section = read_sections(file).get("cache", {})
        if section.get("dir"):
            # DVC takes it relative to the folder of the file that says it.
            folder = file.parent / Path(section["dir"]).expanduser()
        said = [part.strip() for part in section.get("type", "").split(",")]
        types = tuple(part for part in said if part in _LINK_TYPES) or types
    return CacheSettings(folder=Path(os.path.normpath(folder)), link_types=types)


class DvcCache:
    """The cache of one project."""

    def __init__(self, settings: CacheSettings, hasher: Hasher) -> None:
        """Take the settings, and what remembers which files were read before."""
        self._settings = settings
        self._hasher = hasher
        self._link_types = settings.link_types
        self._made: set[str] = set()
        # By this object, in its short life: what was just written need not be read.
        self._verified: set[str] = set()
        self._writing = threading.Lock()

    def exists(self) -> bool:
        """Whether there is any cache."""
        return self._settings.folder.is_dir()

    def find(self, blob: str) -> Path | None:
        """Where content is said to be: in DVC 3's layout, or in that of DVC 2. It is not read."""
        for path in (self._path(blob), self._settings.folder / blob[:2] / blob[2:]):
            if path.is_file():
                return path
        return None

    def intact(self, blobs: Iterable[str]) -> set[str]:
        """The ones of which there is content that has the hash; it is read unless it was read before."""
        wanted = set(blobs)
        found = {}
        for blob in wanted - self._verified:
            path = self._text_path(blob)
            try:
                status = os.stat(path)  # noqa: PTH116 - as text, because there may be a hundred thousand of them
            except OSError:
                continue
            found[blob] = _found(blob, Path(path), status)
        hashed = self._hasher.hash_files(list(found.values()))
        self._verified.update(
            blob
            for blob, file in zip(found, hashed, strict=True)
            if file.md5 == blob.removesuffix(TREE_SUFFIX)
        )
        return wanted & self._verified

    def found(self, blobs: Iterable[str]) -> dict[str, FoundFile]:
        """The ones of which there is content, in either layout, not looked at yet."""
        paths = {blob: self.find(blob) for blob in blobs}
        return {blob: _found(blob, path, path.stat()) for blob, path in paths.items() if path is not None}

    def read(self, blob: str) -> bytes:
        """Content that is intact."""
        return self._path(blob).read_bytes()

    def new_file(self, blob: str) -> Path:
        """Give the name of a file to write content to."""
        return Path(self._new_name(blob))

    def keep(self, blob: str, temporary: Path) -> None:
        """Show a file with verified content under its own name."""
        temporary.chmod(_READ_ONLY)
        temporary.replace(self._path(blob))
        self._verified.add(blob)

    def keep_content(self, blob: str, content: bytes) -> None:
        """Keep verified content."""
        _write(self._new_name(blob), self._text_path(blob), content, mode=_READ_ONLY)
        self._verified.add(blob)

    def keep_copy(self, blob: str, source: Path) -> None:
        """Keep what is in the workspace already, and right."""
        temporary = self.new_file(blob)
        try:
            if "reflink" not in self._link_types or not self._reflink(source, temporary, executable=False):
                _copy(source, temporary, executable=False)
            self.keep(blob, temporary)
        finally:
            temporary.unlink(missing_ok=True)

    def check_out(self, blob: str, target: Path, *, executable: bool) -> None:
        """Put content into the workspace as `cache.type` says; what is there is replaced in one step."""
        source, temporary = self._path(blob), _beside(target)
        try:
            self._link(source, temporary, executable=executable)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def will_copy(self, folder: Path) -> bool:
        """Whether content will be copied into the workspace; whether blocks can be shared is tried in `folder`."""
        if self._link_types[:1] == ("reflink",):
            folder.mkdir(parents=True, exist_ok=True)
            one = _beside(folder / "one")
            other = _beside(folder / "other")
            try:
                one.write_bytes(b"1")
                self._reflink(one, other, executable=False)
            finally:
                one.unlink(missing_ok=True)
                other.unlink(missing_ok=True)
        return self._copies()

    def check_out_copy(self, copy: Path, target: Path) -> None:
        """Put a copy that was made before into the workspace."""
        temporary = _beside(target)
        try:
            move(copy, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def check_out_content(self, blob: str, content: bytes, target: str, *, executable: bool) -> None:
        """Put content that is kept, and in memory, into the workspace: where it is copied, it is not read again."""
        if not self._copies():
            self.check_out(blob, Path(target), executable=executable)
            return
        # One at a time: threads that make files in one folder at once spin on its lock in the kernel.
        with self._writing:
            _write(_name_beside(target), target, content, executable=executable)

    def _copies(self) -> bool:
        return self._link_types[:1] in {(), ("copy",)}

    def _link(self, source: Path, target: Path, *, executable: bool) -> None:
        # A link shares its mode with the cache, and DVC links no empty files.
        linkable = not executable and source.stat().st_size > 0
        for kind in self._link_types:
            with contextlib.suppress(OSError):
                if kind == "hardlink" and linkable:
                    os.link(source, target)
                    return
                if kind == "symlink" and linkable:
                    target.symlink_to(source)
                    return
                if kind == "reflink" and self._reflink(source, target, executable=executable):
                    return
                if kind == "copy":
                    break
        _copy(source, target, executable=executable)

    def _reflink(self, source: Path, target: Path, *, executable: bool) -> bool:
        """Share the blocks of a file; where the file system cannot, it is not tried again."""
        with source.open("rb") as reader, os.fdopen(_create(target, executable=executable), "wb") as writer:
            try:
                fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
            except OSError:
                target.unlink()
                self._link_types = tuple(kind for kind in self._link_types if kind != "reflink")
                return False
        return True

    def _path(self, blob: str) -> Path:
        return Path(self._text_path(blob))

    def _text_path(self, blob: str) -> str:
        return f"{self._folder_of(blob)}/{blob[2:]}"

    def _folder_of(self, blob: str) -> str:
        return f"{self._settings.folder}/files/md5/{blob[:2]}"

    def _new_name(self, blob: str) -> str:
        folder = self._folder_of(blob)
        if folder not in self._made:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._made.add(folder)
        return _name_beside(f"{folder}/{blob[2:]}")


def _found(blob: str, path: Path, status: os.stat_result) -> FoundFile:
    # A name that no file of the project has.
    return FoundFile(path=f"\0cache/{blob}", source=path, status=status)


def move(source: Path, target: Path) -> None:
    """Rename, or copy, with the mode, where that is impossible."""
    try:
        source.replace(target)
    except OSError:
        shutil.copy(source, target)
        source.unlink()


def _beside(target: Path) -> Path:
    return Path(_name_beside(str(target)))


def _name_beside(target: str) -> str:
    # Short, because the name itself may be as long as the file system takes.
    return f"{target.rpartition('/')[0]}/.wherry-{secrets.token_hex(8)}.tmp"


def _write(temporary: str, target: str, content: bytes, *, executable: bool = False, mode: int = 0) -> None:
    """Write a short file beside its name, with this mode or a new file's, and show it under its name."""
    descriptor = _create(temporary, executable=executable)
    try:
        try:
            _write_all(descriptor, content)
            if mode:
                os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)  # noqa: PTH105 - as text, because there may be a hundred thousand of them
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _copy(source: Path, target: Path, *, executable: bool) -> None:
    with (
        source.open("rb", buffering=0) as reader,
        os.fdopen(_create(target, executable=executable), "wb", buffering=0) as writer,
    ):
        size = os.fstat(reader.fileno()).st_size
        if size <= _COPY_BYTES:
            writer.write(reader.read())
        else:
            shutil.copyfile(source, target)  # within the kernel


def _create(file: Path | str, *, executable: bool) -> int:
    # The user's umask decides the rest of the mode, as for any new file.
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777 if executable else 0o666)
