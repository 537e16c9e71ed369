"""What git keeps of a project: commits by name, files of a commit, and their content.

The MD5 of each blob is kept in `.dvc/tmp/wherry/git.db`: git's names never change their meaning, so each is read once.
"""

import contextlib
import hashlib
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from wherry.client.errors import FileTrouble
from wherry.client.project import Project, run_git

_BLOCK_BYTES = 1024 * 1024
_SCHEMA = "CREATE TABLE IF NOT EXISTS blobs (oid TEXT PRIMARY KEY, md5 TEXT NOT NULL) WITHOUT ROWID"
_EXECUTABLE, _PLAIN = "100755", "100644"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitFile:
    """A file of a commit."""

    path: str
    """Relative to the DVC root."""
    oid: str
    size: int
    executable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GitCommit:
    """A commit, as far as lists show it."""

    sha: str
    committed_at: int
    """Seconds since the epoch."""


class GitObjects:
    """Asks the repository around a project. Close it: it holds a process of git."""

    def __init__(self, project: Project) -> None:
        """Take the project, which must be in a git repository."""
        self._root = project.root
        below = "." if project.git_root is None else project.root.relative_to(project.git_root).as_posix()
        self.prefix = "" if below == "." else below
        """Where the project is in the repository; empty: it is all of it."""
        self._memory = project.root / ".dvc" / "tmp" / "wherry" / "git.db"
        self._reader: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._reader is not None:
            self._reader.communicate()
            self._reader = None

    def find_commit(self, name: str) -> str | None:
        """Resolve a name to a commit; None when git knows none."""
        if not name or "\0" in name:
            return None
        try:
            found = self._ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except FileTrouble:
            return None
        return found[0] if found else None

    def branches(self) -> list[str]:
        """List the branches of this repository."""
        return self._ask("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")

    def tags(self) -> list[str]:
        """List the tags."""
        return self._ask("for-each-ref", "--format=%(refname:lstrip=2)", "refs/tags")

    def branch(self) -> str | None:
        """Name the branch that is checked out; None when none is."""
        try:
            return self._ask("symbolic-ref", "--short", "HEAD")[0]
        except (FileTrouble, IndexError):
            return None

    def all_commits(self) -> list[str]:
        """List every commit that a ref leads to."""
        return self._ask("rev-list", "--branches", "--tags", "--remotes", "HEAD")

    def first_parents(self, name: str, count: int) -> list[str]:
        """List a commit and those before it along first parents, `count` in all; negative: all of them."""
        limit = ["-n", str(count)] if count >= 0 else []
        return self._ask("rev-list", "--first-parent", *limit, "--end-of-options", name)

    def describe(self, shas: Iterable[str]) -> dict[str, GitCommit]:
        """Tell when commits were made."""
        wanted = list(dict.fromkeys(shas))
        if not wanted:
            return {}
        lines = self._ask("show", "--no-patch", "--format=%H %ct", "--end-of-options", *wanted)
        pairs = (line.split() for line in lines)
        return {sha: GitCommit(sha=sha, committed_at=int(when)) for sha, when in pairs}

    def names(self) -> dict[str, str]:
        """For commits that a ref points to, what they are called: by the branch that is checked out, a tag, a branch."""
        lines = self._ask(
            "for-each-ref", "--format=%(objectname) %(*objectname) %(refname)", "refs/tags", "refs/heads"
        )
        tags: dict[str, str] = {}
        branches: dict[str, str] = {}
        for line in lines:
            *shas, ref = line.split()
            _, kind, name = ref.split("/", 2)
            (tags if kind == "tags" else branches).setdefault(shas[-1], name)
        head, branch = self.find_commit("HEAD"), self.branch()
        return {**branches, **tags, **({head: branch} if head and branch else {})}

    def files(self, commit: str) -> list[GitFile] | None:
        """List the project's files in a commit; None when its folder is not there. Links and submodules are left out."""
        listed = run_git(
            self._root,
            "ls-tree",
            "-r",
            "-l",
            "-z",
            "--full-tree",
            commit,
            "--",
            *filter(None, [self.prefix]),
        )
        start = len(self.prefix) + 1 if self.prefix else 0
        files = []
        lines = [line for line in listed.split(b"\0") if line]
        for line in lines:
            head, _, name = line.partition(b"\t")
            mode, _, oid, size = head.decode().split()
            if mode in {_EXECUTABLE, _PLAIN} and _is_text(name):
                path = name.decode()[start:]
                files.append(GitFile(path=path, oid=oid, size=int(size), executable=mode == _EXECUTABLE))
        return files if lines or not self.prefix else None

    def md5s(self, oids: Iterable[str]) -> Mapping[str, str]:
        """The MD5 of each blob, by memory where it can."""
        wanted = set(oids)
        known = self._recall(wanted)
        fresh = {oid: self._hash(oid) for oid in sorted(wanted - known.keys())}
        self._remember(fresh)
        return {**known, **fresh}

    def content(self, oid: str) -> bytes:
        """The content of a blob."""
        return b"".join(self._blocks(oid))

    def _hash(self, oid: str) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for block in self._blocks(oid):
            digest.update(block)
        return digest.hexdigest()

    def _blocks(self, oid: str) -> Iterator[bytes]:
        if self._reader is None:
            self._reader = subprocess.Popen(
                ["git", "cat-file", "--batch"],
                cwd=self._root,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        assert self._reader.stdin is not None
        assert self._reader.stdout is not None
        self._reader.stdin.write(oid.encode() + b"\n")
        self._reader.stdin.flush()
        head = self._reader.stdout.readline().split()
        if len(head) != 3 or head[1] != b"blob":  # noqa: PLR2004 - name, kind and size
            raise FileTrouble(
                f"git has no blob {oid} in {self._root}", hint="`git fsck` says what is missing"
            )
        left = int(head[2])
        while left:
            block = self._reader.stdout.read(min(left, _BLOCK_BYTES))
            if not block:
                raise FileTrouble(f"git stopped while it gave blob {oid} of {self._root}")
            left -= len(block)
            yield block
        self._reader.stdout.read(1)

    def _ask(self, *arguments: str) -> list[str]:
        return run_git(self._root, *arguments).decode("utf-8", "replace").splitlines()

    def _recall(self, wanted: set[str]) -> dict[str, str]:
        with contextlib.suppress(sqlite3.Error, OSError):
            if not self._memory.exists():
                return {}
            with contextlib.closing(sqlite3.connect(self._memory, timeout=5)) as database:
                return {
                    oid: md5 for oid, md5 in database.execute("SELECT oid, md5 FROM blobs") if oid in wanted
                }
        return {}

    def _remember(self, fresh: Mapping[str, str]) -> None:
        # A cache: where it cannot be written, blobs are read again.
        if not fresh:
            return
        with contextlib.suppress(sqlite3.Error, OSError):
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self._memory, timeout=5)) as database, database:
                database.execute(_SCHEMA)
                database.executemany("INSERT OR REPLACE INTO blobs VALUES (?, ?)", list(fresh.items()))


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
