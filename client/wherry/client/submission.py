"""From the folder to a request: scan, say what is asked for, provide what the service lacks, ask again."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from wherry.client.connection import Connection
from wherry.client.data import LocalData, look_into_cache, look_up
from wherry.client.direct import DirectWay
from wherry.client.dvc_cache import DvcCache, read_cache_settings
from wherry.client.errors import ProtocolBroken
from wherry.client.hashing import Hasher
from wherry.client.ignore import IgnoreRules
from wherry.client.memory import StateMemory
from wherry.client.missing import find_missing
from wherry.client.paths import check_wire_path, find_outside, is_outside
from wherry.client.progress import Progress
from wherry.client.project import Project, ignores_elsewhere, read_commit
from wherry.client.scanning import Scan, scan_project
from wherry.client.selection import Selection
from wherry.client.uploading import Holdings, upload
from wherry.v1.blobs_pb2 import BlobDigest
from wherry.v1.pipelines_pb2 import (
    COMPOSITION_ALWAYS,
    COMPOSITION_NEVER,
    COMPOSITION_UNSPECIFIED,
    AddStageResponse,
    CompareWithLockResponse,
    DataNeed,
    DescribePipelineResponse,
    ExplainStageResponse,
    LintProjectResponse,
    Needs,
    PlanRunResponse,
    SettingFlags,
    Snapshot,
    SnapshotFile,
    Submission,
    Surroundings,
)
from wherry.v1.pipelines_pb2 import Selection as SelectionFlags
from wherry.v1.results_pb2 import ReadResultsResponse
from wherry.v1.runs_pb2 import SubmitRunResponse

# Data may be found stage by stage, so several rounds are honest; an endless exchange is not.
_ROUNDS_MAX = 50

_COMPOSITIONS = {
    "": COMPOSITION_UNSPECIFIED,
    "always": COMPOSITION_ALWAYS,
    "never": COMPOSITION_NEVER,
}


# All of them say either what was asked for, or what is needed first.
AnswerT = TypeVar(
    "AnswerT",
    DescribePipelineResponse,
    PlanRunResponse,
    SubmitRunResponse,
    ExplainStageResponse,
    CompareWithLockResponse,
    AddStageResponse,
    LintProjectResponse,
    ReadResultsResponse,
)


@dataclass(slots=True)
class Asked:
    """What was provided already."""

    blobs: set[tuple[str, bool]] = field(default_factory=set)
    """With whether they were files of the project only: as data too they are asked for again."""
    data: set[str] = field(default_factory=set)
    legacy: set[str] = field(default_factory=set)


class Submitter:
    """One submission of a project: scanned once, asked for as often as needed."""

    def __init__(self, project: Project, connection: Connection, progress: Progress) -> None:
        """Take the project, the service, and who hears of progress."""
        self._project = project
        self._connection = connection
        self._progress = progress
        self._memory = StateMemory(project.root / ".dvc" / "tmp" / "wherry" / "state.db")
        self._hasher = Hasher(self._memory, progress)
        self._cache = DvcCache(read_cache_settings(project.root), self._hasher)
        self._rules = IgnoreRules(project.root)
        self._holdings = Holdings()
        self._direct = DirectWay(connection, progress)
        self._data: dict[str, LocalData] = {}

    def ask(self, selection: Selection, call: Callable[[Submission], AnswerT]) -> AnswerT:
        """Call until the answer is not a need.

        Raises:
            ClientError: as the call, the scan or the upload says.
        """
        submission = self._prepare(selection)
        asked = Asked()
        for _ in range(_ROUNDS_MAX):
            answer = call(submission)
            if answer.WhichOneof("outcome") != "needs":
                self._memory.save(asked=asked.data)
                return answer
            self._provide(answer.needs, submission, asked)
        raise ProtocolBroken(f"the service still lacks something after {_ROUNDS_MAX} rounds")

    def _prepare(self, selection: Selection) -> Submission:
        # While files are looked at, git says the rest: each of its commands is a program that starts.
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="git") as aside:
            commit_read = aside.submit(read_commit, self._project)
            ignores_read = aside.submit(ignores_elsewhere, self._project)
            scan = scan_project(self._project, self._rules, self._hasher)
        for warning in scan.warnings:
            self._progress.warn(warning)
        commit = commit_read.result()
        submission = Submission(
            project=self._project.name,
            snapshot=Snapshot(
                files=self._announce(scan),
                surroundings=Surroundings(root=self._project.root.as_posix(), levels=self._project.levels),
                ignored_elsewhere=ignores_read.result(),
            ),
            working_folder=self._project.folder,
            targets=selection.targets,
            selection=_flags(selection),
            set_params=selection.set_params,
            composition=_COMPOSITIONS[selection.composition],
            image=selection.image,
            settings=SettingFlags(
                cpus=selection.cpus,
                memory=selection.memory,
                gpus=selection.gpus,
                network=selection.network,
                env=selection.env,
                secrets=selection.secrets,
            ),
            rev=commit.rev,
            dirty=commit.dirty,
        )
        # What was asked last time will be asked again: answering at once saves a round.
        for path in self._memory.asked():
            # The project may have moved within its repository since.
            if is_outside(path) and not self._is_open(path):
                continue
            # What is not here may be in DVC's cache, by the hash that the service will name.
            if not self._cache.exists() or (self._project.root / path).exists():
                self._look_at(path, submission)
        self._memory.save()
        return submission

    def _announce(self, scan: Scan) -> list[SnapshotFile]:
        files = []
        for path in sorted(scan.files):
            file = scan.files[path]
            self._holdings.add_file(file)
            digest = BlobDigest(hash=file.md5, size_bytes=file.size)
            files.append(SnapshotFile(path=path, digest=digest, executable=file.executable))
        return files

    def _provide(self, needs: Needs, submission: Submission, asked: Asked) -> None:
        data = {need.path for need in needs.data} - asked.data
        legacy = {need.path for need in needs.data if need.legacy} - asked.legacy
        blobs = {(digest.hash, needs.sources) for digest in needs.blobs}
        if not data and not legacy and blobs <= asked.blobs:
            lacking = ", ".join(sorted({blob for blob, _ in blobs} | {need.path for need in needs.data})[:3])
            raise ProtocolBroken(f"the service asks again for what it was given: {lacking or 'nothing'}")
        unheld = self._not_held(needs.data)
        for need in sorted(needs.data, key=lambda need: need.path):
            if need.path in data:
                hash_ = need.recorded_hash
                self._look_at(need.path, submission, recorded=hash_ if hash_ in unheld else "")
        for message in submission.snapshot.data:
            if message.path in legacy:
                message.legacy_hash = self._data[message.path].hash_as_dvc_2(self._hasher)
        asked.data |= data
        asked.legacy |= legacy
        asked.blobs |= blobs
        self._memory.save(asked=data)
        blobs_needed = [digest.hash for digest in needs.blobs]
        upload(
            self._connection,
            self._holdings,
            blobs_needed,
            sources=needs.sources,
            progress=self._progress,
            direct=self._direct,
        )

    def _is_here(self, path: str) -> bool:
        # What lies beside the project is in no cache of it.
        return is_outside(path) or (self._project.root / check_wire_path(path)).exists()

    def _is_open(self, path: str) -> bool:
        try:
            find_outside(self._project.root, path, self._project.levels)
        except ProtocolBroken:
            return False
        return True

    def _not_held(self, needs: Iterable[DataNeed]) -> set[str]:
        """Recorded content that is worth looking for in DVC's cache: not here, and not in the store."""
        if not self._cache.exists():
            return set()
        absent = (need.recorded_hash for need in needs if need.recorded_hash and not self._is_here(need.path))
        return find_missing(self._connection, absent)

    def _look_at(self, path: str, submission: Submission, *, recorded: str = "") -> None:
        if path in self._data:
            return
        data = look_up(self._project.root, path, self._rules, self._hasher, levels=self._project.levels)
        if data.file is None and data.tree is None and recorded:
            data = look_into_cache(self._cache, path, recorded, self._hasher) or data
        self._data[path] = data
        if data.file is not None:
            self._holdings.add_file(data.file)
        if data.tree is not None:
            self._holdings.add_tree(data.tree, path)
        submission.snapshot.data.append(data.to_message())


def _flags(selection: Selection) -> SelectionFlags:
    return SelectionFlags(
        glob=selection.glob,
        recursive=selection.recursive,
        single_item=selection.single_item,
        whole_pipelines=selection.whole_pipelines,
        all_pipelines=selection.all_pipelines,
        downstream=selection.downstream,
        force_downstream=selection.force_downstream,
        output_targets=selection.output_targets,
    )
