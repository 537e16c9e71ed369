"""What was hashed before, kept in `.dvc/tmp/wherry/state.db`, so that an unchanged project is not read again.

It is a cache: whatever goes wrong with the file, the answer is to hash again, never to fail.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_VERSION = 1
# A file changed again within the resolution of its time stamp looks unchanged; git calls that "racily
# clean". Two seconds is the coarsest resolution in use (FAT).
_RACY_NS = 2_000_000_000
# Data that the service has not asked about for so long is no longer reported unasked.
_ASKED_SECONDS_MAX = 7 * 24 * 3600

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    md5 TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS legacy (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    md5 TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asked (path TEXT PRIMARY KEY, asked_at REAL NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells that a file is the same as before, without reading it."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileStamp":
        """Take it from stat()."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


class StateMemory:
    """Hashes by path and stamp. Used from one thread; save() writes all that is new in one transaction."""

    def __init__(self, file: Path) -> None:
        """Open or make the database; when that is impossible, remember nothing."""
        self._file = file
        self._known: dict[str, tuple[FileStamp, str]] = {}
        self._fresh: dict[str, tuple[FileStamp, str]] = {}
        self._known_legacy: dict[str, tuple[FileStamp, str]] = {}
        self._fresh_legacy: dict[str, tuple[FileStamp, str]] = {}
        self._asked: dict[str, float] = {}
        self._load()

    def recall(self, path: str, stamp: FileStamp) -> str | None:
        """Return the hash of a file if it was hashed with this very stamp."""
        return _recall(path, stamp, self._fresh, self._known)

    def recall_legacy(self, path: str, stamp: FileStamp) -> str | None:
        """Return the hash that DVC 2 gives a file, if it was found with this very stamp."""
        return _recall(path, stamp, self._fresh_legacy, self._known_legacy)

    def remember(self, path: str, stamp: FileStamp, md5: str, *, hashed_at_ns: int) -> None:
        """Keep a hash, unless the file changed so shortly before that a later change might not show."""
        if stamp.mtime_ns < hashed_at_ns - _RACY_NS:
            self._fresh[path] = (stamp, md5)

    def remember_legacy(self, path: str, stamp: FileStamp, md5: str, *, hashed_at_ns: int) -> None:
        """Keep a hash of DVC 2, as `remember` does."""
        if stamp.mtime_ns < hashed_at_ns - _RACY_NS:
            self._fresh_legacy[path] = (stamp, md5)

    def asked(self) -> list[str]:
        """Paths of data that the service asked about lately."""
        oldest = time.time() - _ASKED_SECONDS_MAX
        return sorted(path for path, when in self._asked.items() if when >= oldest)

    def save(self, *, asked: Iterable[str] = ()) -> None:
        """Write what is new, and that these paths were asked about."""
        now = time.time()
        new_asked = dict.fromkeys(asked, now)
        if not self._fresh and not self._fresh_legacy and not new_asked:
            return
        with contextlib.suppress(sqlite3.Error, OSError):
            with contextlib.closing(self._open()) as database, database:
                _write_hashes(database, "files", self._fresh)
                _write_hashes(database, "legacy", self._fresh_legacy)
                _write_asked(database, new_asked, oldest=now - _ASKED_SECONDS_MAX)
            self._known.update(self._fresh)
            self._known_legacy.update(self._fresh_legacy)
            self._fresh.clear()
            self._fresh_legacy.clear()

    def _load(self) -> None:
        try:
            self._read()
        except sqlite3.OperationalError:  # locked, or on a disk that cannot be written
            return
        except sqlite3.DatabaseError:  # not a database, or a broken one
            self._known.clear()
            self._known_legacy.clear()
            self._asked.clear()
            with contextlib.suppress(OSError):
                self._file.unlink()
        except OSError:
            return

    def _read(self) -> None:
        if not self._file.exists():
            return
        with contextlib.closing(self._open()) as database:
            self._known = _read_hashes(database, "files")
            self._known_legacy = _read_hashes(database, "legacy")
            self._asked = dict(database.execute("SELECT path, asked_at FROM asked"))

    def _open(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._file, timeout=5)
        try:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version != _VERSION:
                database.executescript("DROP TABLE IF EXISTS files; DROP TABLE IF EXISTS asked;")
                database.execute(f"PRAGMA user_version = {_VERSION}")
            # Tables may be added without a new version: what is known stays known.
            database.executescript(_SCHEMA)
        except BaseException:
            database.close()
            raise
        return database


def _recall(path: str, stamp: FileStamp, *places: Mapping[str, tuple[FileStamp, str]]) -> str | None:
    known = next((place[path] for place in places if path in place), None)
    return known[1] if known is not None and known[0] == stamp else None


def _read_hashes(database: sqlite3.Connection, table: str) -> dict[str, tuple[FileStamp, str]]:
    rows = database.execute(f"SELECT path, size, mtime_ns, inode, md5 FROM {table}")  # noqa: S608 - a name of ours
    return {path: (FileStamp(size, mtime_ns, inode), md5) for path, size, mtime_ns, inode, md5 in rows}


def _write_hashes(
    database: sqlite3.Connection, table: str, files: Mapping[str, tuple[FileStamp, str]]
) -> None:
    database.executemany(
        f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?)",  # noqa: S608 - a name of ours
        [(path, stamp.size, stamp.mtime_ns, stamp.inode, md5) for path, (stamp, md5) in files.items()],
    )


def _write_asked(database: sqlite3.Connection, asked: Mapping[str, float], *, oldest: float) -> None:
    database.executemany("INSERT OR REPLACE INTO asked VALUES (?, ?)", list(asked.items()))
    database.execute("DELETE FROM asked WHERE asked_at < ?", (oldest,))
