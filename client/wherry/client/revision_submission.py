"""A commit of git as a submission: its files by name and hash, its content out of git's own store."""

from wherry.client.connection import Connection
from wherry.client.data import LocalData, look_into_cache
from wherry.client.git_objects import GitFile, GitObjects
from wherry.client.progress import Progress
from wherry.client.project import Project
from wherry.client.scanning import holds_secret, is_private
from wherry.client.selection import Selection
from wherry.client.submission import Asked, Submitter
from wherry.v1.blobs_pb2 import BlobDigest
from wherry.v1.pipelines_pb2 import Needs, Snapshot, SnapshotFile, Submission, Surroundings


class RevisionSubmitter(Submitter):
    """As Submitter, of a commit. Of data only DVC's cache on this machine is looked into: no commit holds any."""

    def __init__(
        self, project: Project, connection: Connection, progress: Progress, *, git: GitObjects, commit: str
    ) -> None:
        """Take the commit by its full name."""
        super().__init__(project, connection, progress)
        self._git = git
        self._commit = commit
        self._by_md5: dict[str, GitFile] = {}

    def has_project(self) -> bool:
        """Whether the commit has the project's folder."""
        return self._git.files(self._commit) is not None

    def _prepare(self, selection: Selection) -> Submission:
        files = [file for file in self._git.files(self._commit) or () if self._is_told(file)]
        md5s = self._git.md5s(file.oid for file in files)
        self._by_md5 = {md5s[file.oid]: file for file in files}
        return Submission(
            project=self._project.name,
            snapshot=Snapshot(
                files=[
                    SnapshotFile(
                        path=file.path,
                        digest=BlobDigest(hash=md5s[file.oid], size_bytes=file.size),
                        executable=file.executable,
                    )
                    for file in sorted(files, key=lambda file: file.path)
                ],
                surroundings=Surroundings(root=self._project.root.as_posix()),
            ),
            working_folder=self._project.folder,
            rev=self._commit,
        )

    def _is_told(self, file: GitFile) -> bool:
        if file.path == ".dvc/config":
            return not holds_secret(self._git.content(file.oid))
        if is_private(file.path):
            return False
        return file.path.startswith(".dvc/") or not self._rules.ignores_file(file.path)

    def _provide(self, needs: Needs, submission: Submission, asked: Asked) -> None:
        for digest in needs.blobs:
            file = self._by_md5.get(digest.hash)
            if file is not None:
                self._holdings.add_content(digest.hash, self._git.content(file.oid), file.path)
        super()._provide(needs, submission, asked)

    def _is_here(self, path: str) -> bool:
        return False

    def _look_at(self, path: str, submission: Submission, *, recorded: str = "") -> None:
        if path in self._data:
            return
        found = look_into_cache(self._cache, path, recorded, self._hasher) if recorded else None
        data = self._data[path] = found or LocalData(path=path)
        if data.file is not None:
            self._holdings.add_file(data.file)
        if data.tree is not None:
            self._holdings.add_tree(data.tree, path)
        submission.snapshot.data.append(data.to_message())
