"""A run as a branch of git: the commit that it was submitted from, with the project as it was, and what the run left.

Everything is done in git's store and with an index of its own: neither the workspace nor the user's index is touched.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wherry.client.connection import LONG_S, Connection
from wherry.client.errors import ClientError, Refused
from wherry.client.git_objects import GitFile, GitObjects
from wherry.client.hashing import Hasher
from wherry.client.ignore import IgnoreRules
from wherry.client.memory import StateMemory
from wherry.client.paths import check_wire_path
from wherry.client.placing import Placer, Wanted
from wherry.client.progress import Progress
from wherry.client.project import Project, run_git
from wherry.client.scanning import is_private
from wherry.v1.results_pb2 import GetRunSnapshotRequest
from wherry.v1.runs_pb2 import WRITE_BACK_KIND_OUTPUT, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Branched:
    """A branch that was made."""

    branch: str
    commit: str
    files: int
    """How many files differ from the commit that the run was submitted from."""


class Brancher:
    """Makes branches of runs in one repository."""

    def __init__(self, project: Project, connection: Connection, progress: Progress, git: GitObjects) -> None:
        """Take the project, the service, and the repository."""
        self._project = project
        self._connection = connection
        self._progress = progress
        self._git = git
        self._rules = IgnoreRules(project.root)

    def make(self, run: Run, branch: str, *, force: bool = False) -> Branched:
        """Make a branch; one of its name is replaced only with `force`.

        Raises:
            Refused: if there is a branch of that name, or the commit of the run is not in this repository.
            ClientError: as the service says, or git.
        """
        self._check_name(branch, force=force)
        parent = self._parent(run)
        before = {file.path: file for file in self._git.files(parent) or ()}
        wanted = self._wanted(run)
        md5s = self._git.md5s(file.oid for file in before.values())
        changed = {
            path: item
            for path, item in wanted.items()
            if path not in before
            or md5s[before[path].oid] != item.hash
            or before[path].executable != item.executable
        }
        gone = [path for path in before if path not in wanted and self._travels(before[path])]
        tree = self._write_tree(parent, changed, gone, made=self._made(run))
        message = (
            f"{run.message or run.name}\n\nRun {run.id} ({run.name}) by {run.user}, project {run.project}.\n"
        )
        commit = self._ask("commit-tree", tree, "-p", parent, "-m", message)
        self._ask("branch", *(["--force"] if force else []), "--end-of-options", branch, commit)
        return Branched(branch=branch, commit=commit, files=self._count_changes(parent, commit))

    def _check_name(self, branch: str, *, force: bool) -> None:
        try:
            self._ask("check-ref-format", "--branch", branch)
        except ClientError as exc:
            raise Refused(f"{branch!r} is no name for a branch", reason="BRANCH_NAME") from exc
        if branch in self._git.branches() and not force:
            raise Refused(
                f"Git branch '{branch}' already exists.", hint="--force replaces it", reason="BRANCH_EXISTS"
            )

    def _parent(self, run: Run) -> str:
        commit = self._git.find_commit(run.rev) if run.rev else None
        if commit is None:
            where = f"commit {run.rev[:12]}" if run.rev else "a project without a commit"
            raise Refused(
                f"run {run.id} was submitted from {where}, which this repository does not have",
                hint="`git fetch` it, or use `wherry apply`",
                reason="COMMIT_UNKNOWN",
            )
        return commit

    def _wanted(self, run: Run) -> dict[str, Wanted]:
        """All files of the project as it was submitted, then what the run wrote into it."""
        request = GetRunSnapshotRequest(run=run.id)
        answer = self._connection.unary(self._connection.results.GetRunSnapshot, request, LONG_S)
        wanted = {
            file.path: Wanted(
                path=check_wire_path(file.path),
                hash=file.digest.hash,
                size_bytes=file.digest.size_bytes,
                executable=file.executable,
            )
            for file in answer.files
            if not _is_dvcs_own(file.path)
        }
        for item in run.write_backs:
            if item.kind != WRITE_BACK_KIND_OUTPUT:
                wanted[item.path] = Wanted(
                    path=check_wire_path(item.path),
                    hash=item.digest.hash,
                    size_bytes=item.digest.size_bytes,
                    executable=item.executable,
                )
        return wanted

    @staticmethod
    def _made(run: Run) -> list[Wanted]:
        """Outputs that git keeps: those that DVC does not cache."""
        uncached = {out.path for stage in run.stages for out in stage.outs if not out.cache}
        return [
            Wanted(
                path=check_wire_path(item.path),
                hash=item.digest.hash,
                size_bytes=item.digest.size_bytes,
                executable=item.executable,
            )
            for item in run.write_backs
            if item.kind == WRITE_BACK_KIND_OUTPUT and item.path in uncached
        ]

    def _travels(self, file: GitFile) -> bool:
        """Whether a file would have been submitted; the others stay as the commit has them."""
        return not _is_dvcs_own(file.path) and not self._rules.ignores_file(file.path)

    def _write_tree(
        self, parent: str, changed: Mapping[str, Wanted], gone: Iterable[str], *, made: Sequence[Wanted]
    ) -> str:
        with tempfile.TemporaryDirectory(prefix="wherry-branch-") as temporary:
            root = Path(temporary) / "project"
            root.mkdir()
            hasher = Hasher(StateMemory(Path(temporary) / "state.db"))
            placer = Placer(root, self._connection, hasher, self._progress)
            placer.place([*changed.values(), *made])
            lines = [f"0 {'0' * 40}\t{self._in_repository(path)}\0" for path in gone]
            lines += [self._add(root, file) for file in sorted(_files(root))]
            index = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
            self._ask("read-tree", parent, environment=index)
            self._ask("update-index", "-z", "--index-info", environment=index, stdin="".join(lines).encode())
            return self._ask("write-tree", environment=index)

    def _add(self, root: Path, file: Path) -> str:
        oid = self._ask("hash-object", "-w", "--no-filters", str(file))
        mode = "100755" if os.access(file, os.X_OK) else "100644"
        return f"{mode} {oid}\t{self._in_repository(file.relative_to(root).as_posix())}\0"

    def _in_repository(self, path: str) -> str:
        return f"{self._git.prefix}/{path}" if self._git.prefix else path

    def _count_changes(self, parent: str, commit: str) -> int:
        listed = self._ask("diff-tree", "-r", "--name-only", "-z", parent, commit)
        return sum(1 for name in listed.split("\0") if name)

    def _ask(self, *arguments: str, environment: Mapping[str, str] | None = None, stdin: bytes = b"") -> str:
        found = run_git(self._project.root, *arguments, environment=environment, stdin=stdin)
        return os.fsdecode(found).strip("\n")


def _is_dvcs_own(path: str) -> bool:
    """Whether a file is of DVC's own folder, which stays as the commit has it: it may hold secrets."""
    return is_private(path) or ".dvc" in path.split("/")[:-1]


def _files(root: Path) -> Iterable[Path]:
    for folder, folders, names in os.walk(root):
        # What placing leaves for itself is no part of the project.
        folders[:] = [name for name in folders if name != ".dvc"]
        yield from (Path(folder) / name for name in names)
