"""Revisions of a project: the workspace, commits of git, and runs; and what each declares and records."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from wherry.client.branching import Branched, Brancher
from wherry.client.connection import LONG_S, Connection
from wherry.client.downloading import MemorySink, download
from wherry.client.errors import ClientError, Invalid, NotInGit, Refused, Unknown, UnknownRevision
from wherry.client.git_objects import GitObjects
from wherry.client.progress import Progress
from wherry.client.project import Project
from wherry.client.revision_submission import RevisionSubmitter
from wherry.client.selection import Selection
from wherry.client.submission import Submitter
from wherry.v1.blobs_pb2 import BlobDigest
from wherry.v1.pipelines_pb2 import Submission
from wherry.v1.results_pb2 import (
    RESULT_KIND_METRICS,
    RESULT_KIND_PARAMS,
    RESULT_KIND_PLOT_DATA,
    RESULT_KIND_PLOTS,
    RESULT_KIND_RECORDS,
    ReadResultsRequest,
    ReadResultsResponse,
)
from wherry.v1.runs_pb2 import GetRunRequest, Run

Json = dict[str, Any]
Kind = Literal["metrics", "params", "plots", "records", "plot data"]

WORKSPACE = "workspace"
HEAD = "HEAD"
RUN_PREFIX = "run:"

_KINDS = {
    "metrics": RESULT_KIND_METRICS,
    "params": RESULT_KIND_PARAMS,
    "plots": RESULT_KIND_PLOTS,
    "records": RESULT_KIND_RECORDS,
    "plot data": RESULT_KIND_PLOT_DATA,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision. Without commit and run it is the workspace."""

    name: str
    """As it is shown; several names of one commit are joined by commas, as DVC does."""
    commit: str = ""
    run: str = ""
    """Id of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which revisions are meant, in the words of DVC's flags."""

    names: Sequence[str] = ()
    all_branches: bool = False
    all_tags: bool = False
    all_commits: bool = False
    count: int = 1
    """Of each name and branch, how many commits along first parents; negative: all."""

    def __bool__(self) -> bool:
        """Whether more is meant than the project as it stands."""
        return bool(self.names or self.all_branches or self.all_tags or self.all_commits)


def tell_nobody(_line: str) -> None:
    """Say nothing."""


class Revisions:
    """Finds revisions and reads their results."""

    def __init__(self, project: Project, connection: Connection, progress: Progress) -> None:
        """Take the project, the service, and who hears of progress."""
        self._project = project
        self._connection = connection
        self._progress = progress
        self._git: GitObjects | None = None

    def close(self) -> None:
        """End git's process."""
        if self._git is not None:
            self._git.close()

    @property
    def git(self) -> GitObjects:
        """The repository around the project.

        Raises:
            NotInGit: if there is none.
        """
        if self._git is None:
            if self._project.git_root is None:
                raise self._not_in_git()
            self._git = GitObjects(self._project)
        return self._git

    def is_before_first(self, names: Iterable[str]) -> bool:
        """Whether HEAD is among the names, in a repository without any commit: DVC has nothing to compare then."""
        return HEAD in names and self._project.git_root is not None and self.git.find_commit(HEAD) is None

    def find(self, which: Which) -> list[Revision]:
        """List the workspace and the revisions that are meant; the workspace alone when nothing is.

        Raises:
            UnknownRevision: if a name is neither git's nor that of a run.
            NotInGit: if commits are meant and there is no git.
        """
        if not which:
            return [Revision(name="")]
        commits: dict[str, list[str]] = {}
        runs: list[Revision] = []
        for name in which.names:
            if name == WORKSPACE:
                continue
            found = self.resolve(name)
            if found.run:
                runs.append(found)
            else:
                commits.setdefault(found.commit, []).append(name)
                for earlier in self._earlier(found.commit, which.count):
                    commits.setdefault(earlier, []).append(earlier)
        for name in self._listed(which):
            sha = self.git.find_commit(name)
            if sha is not None:
                commits.setdefault(sha, []).append(name)
        grouped = [
            Revision(name=",".join(dict.fromkeys(names)), commit=sha) for sha, names in commits.items()
        ]
        return [Revision(name=WORKSPACE), *grouped, *runs]

    def resolve(self, name: str) -> Revision:
        """Find what a name stands for: git's own meaning first; a number or name that git does not know is a run's.

        Raises:
            UnknownRevision: if it is neither.
            Unknown: if it begins with "run:" and there is no such run.
        """
        if name in {"", WORKSPACE}:
            return Revision(name=WORKSPACE)
        if name == HEAD and self._project.git_root is None:
            raise self._not_in_git()
        if not name.startswith(RUN_PREFIX):
            sha = self.git.find_commit(name) if self._project.git_root is not None else None
            if sha is not None:
                return Revision(name=name, commit=sha)
        try:
            request = GetRunRequest(run=name.removeprefix(RUN_PREFIX))
            run = self._connection.unary(self._connection.runs.GetRun, request).run
        except (Unknown, Invalid) as exc:
            if name.startswith(RUN_PREFIX):
                raise
            raise UnknownRevision(
                f"unknown Git revision '{name}', and no run is called so",
                hint="`git branch`, `git tag` and `wherry ps` list what there is",
            ) from exc
        return Revision(name=name, run=run.id)

    def read(
        self,
        revision: Revision,
        kinds: Iterable[Kind],
        *,
        targets: Sequence[str] = (),
        stage_params_only: bool = False,
        working_folder: str = "",
        no_header: bool = False,
    ) -> Json | None:
        """Read what a revision declares, by kind; None when the project's folder is not in it.

        Raises:
            ClientError: as the service says.
        """

        def request() -> ReadResultsRequest:
            return ReadResultsRequest(
                kinds=[_KINDS[kind] for kind in kinds],
                targets=targets,
                stage_params_only=stage_params_only,
                working_folder=working_folder,
                no_header=no_header,
            )

        def call(submission: Submission) -> ReadResultsResponse:
            asked = request()
            asked.submission.CopyFrom(submission)
            return self._connection.unary(self._connection.results.ReadResults, asked, LONG_S)

        if revision.run:
            asked = request()
            asked.run = revision.run
            answer = self._connection.unary(self._connection.results.ReadResults, asked, LONG_S)
        elif revision.commit:
            submitter = RevisionSubmitter(
                self._project, self._connection, self._progress, git=self.git, commit=revision.commit
            )
            if not submitter.has_project():
                return None
            answer = submitter.ask(Selection(), call)
        else:
            answer = Submitter(self._project, self._connection, self._progress).ask(Selection(), call)
        document = json.loads(answer.results.document_json, object_hook=_with_tuples)
        assert isinstance(document, dict)
        return document

    def gather(
        self,
        which: Which,
        kind: Kind,
        *,
        targets: Sequence[str] = (),
        stage_params_only: bool = False,
        tell: Callable[[str], None] = tell_nobody,
    ) -> dict[str, Json]:
        """Read one kind of every revision, in DVC's shape: {REV: {"data": {PATH: …}} or {"error": {"type", "msg"}}}.

        Paths are relative to the DVC root. A revision that cannot be read is told of, and has an error.
        """
        found: dict[str, Json] = {}
        if self.is_before_first(which.names):
            return found
        for revision in self.find(which):
            try:
                document = self.read(revision, (kind,), targets=targets, stage_params_only=stage_params_only)
            except (Invalid, Refused) as exc:
                error = error_document(exc)
                tell(f"the {kind} of {revision.name or WORKSPACE} cannot be read: {error['msg']}")
                found[revision.name] = {"error": error}
                continue
            if document is not None:
                found[revision.name] = {"data": document[kind]}
        return found

    def contents(self, digests: Iterable[BlobDigest]) -> dict[str, bytes]:
        """Fetch content that the store holds, by hash.

        Raises:
            ClientError: as the service says.
        """
        found: dict[str, bytes] = {}

        def sink(blob: str) -> MemorySink:
            return MemorySink(lambda data: found.__setitem__(blob, data))

        wanted = list({digest.hash: digest for digest in digests}.values())
        if wanted:
            download(self._connection, wanted, sink, self._progress.advance)
        return found

    def branch(self, run: Run, name: str, *, force: bool = False) -> Branched:
        """Make a git branch of a run: its sources, params, dvc.lock and uncached outputs, on the commit it came from."""
        brancher = Brancher(self._project, self._connection, self._progress, self.git)
        return brancher.make(run, name, force=force)

    def _not_in_git(self) -> NotInGit:
        return NotInGit(
            f"{self._project.root} is in no git repository",
            hint="revisions are commits: `git init` and commit, or name runs (run:ID)",
        )

    def _earlier(self, name: str, count: int) -> Sequence[str]:
        return self.git.first_parents(name, count)[1:] if count != 1 else ()

    def _listed(self, which: Which) -> Iterator[str]:
        if which.all_commits:
            yield from self.git.all_commits()
            return
        for branch in self.git.branches() if which.all_branches else ():
            yield branch
            yield from self._earlier(branch, which.count)
        if which.all_tags:
            yield from self.git.tags()


def read_run(connection: Connection, run: str, kind: Literal["metrics", "params"]) -> Json:
    """Read the metrics or parameters of a run: values by path, without files that cannot be read. No project is needed.

    Raises:
        ClientError: as the service says.
    """
    request = ReadResultsRequest(kinds=[_KINDS[kind]], run=run)
    answer = connection.unary(connection.results.ReadResults, request, LONG_S)
    found: Json = json.loads(answer.results.document_json)[kind]
    return {path: file["data"] for path, file in found.items() if "data" in file}


def _with_tuples(value: Json) -> Any:
    """Tuples of Python are not lists to DVC, and JSON has none."""
    return tuple(value["$tuple"]) if value.keys() == {"$tuple"} else value


def error_document(error: ClientError) -> Json:
    """Write an error as DVC writes those of a revision."""
    where = f" ({error.where})" if error.where else ""
    return {"type": error.reason, "msg": f"{error.message}{where}"}


def hide_workspace(results: dict[str, Json], branch: str | None) -> None:
    """Leave the workspace out when it is as the branch that is checked out."""
    if branch is not None and WORKSPACE in results and results[WORKSPACE] == results.get(branch):
        del results[WORKSPACE]


def seen_from(project: Project, paths: Mapping[str, Any]) -> dict[str, Any]:
    """Write paths of the project relative to the folder."""
    return {os.path.relpath(path, project.folder or "."): value for path, value in paths.items()}


def from_root(project: Project, paths: Iterable[str]) -> list[str]:
    """Turn paths as typed into paths relative to the DVC root.

    Raises:
        ClientError: if one is not inside the project.
    """
    here = project.root / project.folder
    found = []
    for path in paths:
        relative = os.path.relpath(os.path.join(here, path), project.root)  # noqa: PTH118 - ".." goes as text, as in DVC
        if relative == ".." or relative.startswith("../"):
            raise ClientError(f"{path} is not inside the project {project.root}", reason="PATH_OUTSIDE")
        found.append(relative)
    return found
