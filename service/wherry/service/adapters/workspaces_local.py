"""Workspaces in a folder of this machine: the Workspaces port.

A workspace is `<root>/<attempt>`, owned by the stage's user. Files are put in place by file_placement: the project's
own, and what persistent outputs were before, are copies that the stage may change; inputs are not. An input folder of
many files is an empty folder, over which the container gets a folder of the node as a read-only mount. What a stage
left is read by output_collection and removed by folder_removal. Not here: limits on what a stage may write.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from wherry.service.adapters.confined_folder import Identity, identify
from wherry.service.adapters.file_placement import FilePlacement, Placement, PlacementJob
from wherry.service.adapters.folder_removal import remove_folder
from wherry.service.adapters.folder_size import folder_bytes
from wherry.service.adapters.input_stamps import Stamp, find_changed, stamp_files
from wherry.service.adapters.output_collection import OutputCollection
from wherry.service.adapters.output_listing import list_left
from wherry.service.adapters.read_observation import find_read, sees_reads
from wherry.service.domain.blob import TREE_SUFFIX
from wherry.service.domain.dvc.ignore import IgnoreRules
from wherry.service.domain.errors import InvalidInput, Unavailable
from wherry.service.domain.limits import TREE_BYTES_MAX
from wherry.service.domain.paths import ROOT, ProjectPath, is_within, parse_project_path
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.task import AttemptId, InputData
from wherry.service.domain.tree import parse_tree
from wherry.service.ports.workspaces import CollectedOutput, LeftOutput, NodeCache, NodeLease, Workspaces

_T = TypeVar("_T")

_ATTEMPT = re.compile(r"[a-z0-9]{1,64}")

# Files that one thread puts in place in a row: enough that its turn costs little.
_FILES_PER_JOB = 200
# How many blobs are asked for at once when the node lacks them.
_FETCHES = 32

# From so many files on, an input folder is mounted instead of laid out: linking and removing 5,000 files takes a
# third of a second.
_MOUNT_FROM_FILES = 5_000


@dataclass(slots=True)
class _Held:
    """What a workspace has of the node's while it is there."""

    lease: NodeLease
    release: contextlib.ExitStack
    mounts: dict[Identity, Path] = field(default_factory=dict)
    """Folders of the node, by the empty ones of the workspace over which they are mounted."""
    stamps: Mapping[ProjectPath, Stamp] = field(default_factory=dict)
    """What inputs were when they had been laid out."""
    inodes: dict[str, int] = field(default_factory=dict)
    """Of the files that are observed, by path in the workspace."""


class LocalWorkspaces(Workspaces):
    """Workspaces below one folder, for stages that run as one user."""

    def __init__(
        self,
        root: Path,
        *,
        cache: NodeCache,
        uid: int,
        gid: int,
        workspace_at: str = "/workspace",
        threads: int = 8,
        mount_from_files: int = _MOUNT_FROM_FILES,
    ) -> None:
        """Use `root`, making it if need be; it must be on the cache's file system for hard links.

        `workspace_at` is where containers see the workspace: absolute links of outputs start there. Input
        folders of `mount_from_files` files and more are mounted.

        Raises:
            ValueError: if the service is not root and stages run as somebody else.
        """
        own_uid = os.geteuid()
        if own_uid not in (0, uid):
            raise ValueError(f"stages of uid {uid} need a service that runs as root or as that user")
        self._root = root
        self._cache = cache
        self._uid = uid
        self._gid = gid
        self._placing = FilePlacement(uid=uid, gid=gid)
        self._workspace_at = workspace_at
        self._mount_from_files = mount_from_files
        self._held: dict[Path, _Held] = {}
        self._pool = ThreadPoolExecutor(threads, "workspace")
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.sees_reads = sees_reads(root)
        """Whether it can be told what stages read."""

    async def create(self, attempt: AttemptId) -> Path:
        """Make an empty workspace that the stage's user may write to.

        Raises:
            FileExistsError: if the attempt has one already.
        """
        if not _ATTEMPT.fullmatch(attempt):
            raise ValueError(f"not an attempt's id: {attempt!r}")
        workspace = self._root / attempt
        await self._in_thread(lambda: self._make_folder(str(workspace), 0o700))
        return workspace

    async def lay_out(
        self,
        workspace: Path,
        *,
        files: Mapping[ProjectPath, SnapshotFile],
        data: Sequence[InputData],
        folders: Iterable[ProjectPath],
    ) -> Mapping[ProjectPath, Path]:
        """Put files and inputs at their paths, and make the folders, in a workspace just created.

        Returns what the container must see as read-only mounts, by its path in the workspace.

        Raises:
            BlobMissing: if the store does not hold one.
            InvalidInput: if a path is a file and a folder at once, or a tree is malformed.
            Unavailable: if the disk does not take it.
        """
        self._check_is_ours(workspace)
        held = self._hold(workspace)
        placements = {
            parse_project_path(path): Placement(file.hash, file.executable, writable=True, observed=True)
            for path, file in files.items()
        }
        needed = {folder for folder in folders if folder != ROOT}
        mounts: dict[ProjectPath, Path] = {}
        taken = [*placements, *needed, *(item.project_path for item in data)]
        # Inputs last: where a dependency lies in another, or beside files of the project, it is the same
        # content, but it must not be written to.
        for item in data:
            folder = await self._mountable(item, taken, held.lease)
            if folder is None:
                placements |= await self._placements_of(item, needed)
            else:
                mounts[item.project_path] = folder
        with_parents = _with_parents({*needed, *mounts}, placements)
        await self._on_disk(self._in_thread(lambda: self._make_folders(workspace, with_parents)))
        held.mounts = {identify((workspace / path).lstat()): folder for path, folder in mounts.items()}
        jobs = await self._gather_blobs(workspace, placements, held.lease)
        await self._cache.make_room(
            await self._in_thread(lambda: sum(map(self._placing.bytes_to_write, jobs)))
        )
        parts = [jobs[start : start + _FILES_PER_JOB] for start in range(0, len(jobs), _FILES_PER_JOB)]
        placed = await self._on_disk(
            self._in_threads([partial(self._placing.place_all, part) for part in parts])
        )
        for observed in placed:
            held.inodes |= {target[len(str(workspace)) + 1 :]: inode for target, inode in observed.items()}
        inputs = [item.project_path for item in data if not item.writable and item.project_path not in mounts]
        held.stamps = await self._in_thread(lambda: stamp_files(workspace, inputs))
        return mounts

    async def find_read(
        self, workspace: Path, files: Collection[ProjectPath]
    ) -> Collection[ProjectPath] | None:
        """Say which of these files, that were laid out, the stage has read; None where that cannot be told."""
        self._check_is_ours(workspace)
        if not self.sees_reads:
            return None
        inodes = self._held[workspace].inodes if workspace in self._held else {}
        return await self._in_thread(
            lambda: [ProjectPath(path) for path in find_read(workspace, files, inodes)]
        )

    async def collect(
        self, workspace: Path, outputs: Sequence[ProjectPath], ignore: IgnoreRules
    ) -> tuple[CollectedOutput, ...]:
        """Hash outputs after the stage has ended, in the order given, by DVC's rules for folders.

        Raises:
            OutputUnusable: if one does not exist, or is or contains something that cannot be kept.
        """
        self._check_is_ours(workspace)
        mounts = self._held[workspace].mounts if workspace in self._held else {}
        collection = OutputCollection(workspace, self._workspace_at, mounts)
        collected = []
        for output in outputs:
            found = await self._in_thread(partial(collection.find, output, ignore))
            hash_part = partial(collection.hash_files, output)
            hashed = await self._in_threads([partial(hash_part, part) for part in found.parts()])
            collected.append(found.assemble([file for part in hashed for file in part]))
        return tuple(collected)

    async def list_left(self, workspace: Path, outputs: Sequence[ProjectPath]) -> Sequence[LeftOutput]:
        """See the port."""
        self._check_is_ours(workspace)
        mounts = self._held[workspace].mounts if workspace in self._held else {}
        return await self._in_thread(lambda: list_left(workspace, self._workspace_at, mounts, list(outputs)))

    async def changed_inputs(self, workspace: Path) -> Sequence[ProjectPath]:
        """Those of the inputs that are no longer as they were laid out."""
        self._check_is_ours(workspace)
        stamps = self._held[workspace].stamps if workspace in self._held else {}
        return await self._in_thread(lambda: find_changed(workspace, stamps))

    async def measure(self, workspace: Path) -> int:
        """How many bytes it takes on the disk now, inputs that it shares with the node included.

        Raises:
            Unavailable: if that cannot be found out.
        """
        self._check_is_ours(workspace)
        return await self._in_thread(lambda: folder_bytes(workspace))

    async def remove(self, workspace: Path) -> None:
        """Remove a workspace whatever the stage did to it. Harmless when it is gone."""
        self._check_is_ours(workspace)
        try:
            await self._in_thread(lambda: remove_folder(workspace))
        finally:
            if held := self._held.pop(workspace, None):
                held.release.close()

    async def adopt(
        self,
        attempt: AttemptId,
        *,
        files: Mapping[ProjectPath, SnapshotFile],
        data: Sequence[InputData],
        folders: Iterable[ProjectPath],
    ) -> Path:
        """Take up a workspace that an earlier life of the service has laid out with these.

        Raises:
            BlobMissing: if the store does not hold an input that was mounted, and the node no longer has it.
        """
        workspace = self._root / attempt
        held = self._hold(workspace)
        taken = [
            *files,
            *(folder for folder in folders if folder != ROOT),
            *(item.project_path for item in data),
        ]
        for item in data:
            folder = await self._mountable(item, taken, held.lease)
            # One that the stage has moved is not found again, and neither are links of outputs into it.
            with contextlib.suppress(OSError):
                if folder is not None:
                    held.mounts[identify((workspace / item.project_path).lstat())] = folder
        return workspace

    async def list_attempts(self) -> Sequence[AttemptId]:
        """The attempts of which there are workspaces."""
        left = await self._in_thread(lambda: sorted(folder.name for folder in self._root.iterdir()))
        return [AttemptId(name) for name in left]

    async def remove_attempt(self, attempt: AttemptId) -> None:
        """Remove the workspace of an attempt of an earlier life. Harmless when there is none."""
        await self.remove(self._root / attempt)

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check_is_ours(self, workspace: Path) -> None:
        if workspace.parent != self._root or workspace.name in {"", ".", ".."}:
            raise ValueError(f"not a workspace of this root: {workspace}")

    def _hold(self, workspace: Path) -> _Held:
        if workspace not in self._held:
            release = contextlib.ExitStack()
            self._held[workspace] = _Held(release.enter_context(self._cache.lease()), release)
        return self._held[workspace]

    async def _mountable(
        self, item: InputData, taken: Sequence[ProjectPath], lease: NodeLease
    ) -> Path | None:
        """The node's folder for an input of many files, if nothing else stands or is to be written there."""
        path = item.project_path
        if not item.hash.endswith(TREE_SUFFIX) or path == ROOT or item.writable:
            return None
        # Once it is in `taken` itself.
        if sum(is_within(other, path) or is_within(path, other) for other in taken) > 1:
            return None
        return await lease.tree_folder(item.hash, files_min=self._mount_from_files)

    async def _placements_of(
        self, item: InputData, folders: set[ProjectPath]
    ) -> dict[ProjectPath, Placement]:
        """The files of an input; a tree's own folder is added to `folders`, for it may be empty."""
        if not item.hash.endswith(TREE_SUFFIX):
            path = parse_project_path(item.project_path)
            return {path: Placement(item.hash, item.executable, writable=item.writable)}
        tree = parse_tree(await self._cache.read(item.hash, limit_bytes=TREE_BYTES_MAX))
        prefix = "" if item.project_path == ROOT else f"{item.project_path}/"
        if prefix:
            folders.add(item.project_path)
        return {
            parse_project_path(prefix + entry.path): Placement(
                entry.hash, executable=False, writable=item.writable
            )
            for entry in tree.entries
        }

    async def _gather_blobs(
        self, workspace: Path, placements: Mapping[ProjectPath, Placement], lease: NodeLease
    ) -> list[PlacementJob]:
        """Have all content on the node, fetching at most _FETCHES blobs at a time."""
        waiting = iter(placements.items())
        jobs: list[PlacementJob] = []

        async def work() -> None:
            for path, placement in waiting:
                # A hard link has the mode of its file: what is to be executable is another file.
                executable = placement.executable and not placement.writable
                blob = await lease.path(placement.hash, executable=executable)
                jobs.append(PlacementJob(blob, f"{workspace}/{path}", placement))
                if len(jobs) % _FILES_PER_JOB == 0:
                    await asyncio.sleep(0)  # blobs at hand do not suspend: let others have the loop

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_FETCHES):
                    group.create_task(work())
        except ExceptionGroup as failures:
            # The others were cancelled because of the first.
            raise failures.exceptions[0] from None
        return jobs

    def _make_folders(self, workspace: Path, folders: Iterable[ProjectPath]) -> None:
        for folder in folders:
            self._make_folder(f"{workspace}/{folder}", 0o755)

    def _make_folder(self, path: str, mode: int) -> None:
        os.mkdir(path, mode)  # noqa: PTH102 - thousands in a row
        os.chown(path, self._uid, self._gid, follow_symlinks=False)
        os.chmod(path, mode)  # noqa: PTH101 - mkdir obeys the umask; it is ours and no link

    async def _on_disk(self, work: Awaitable[_T]) -> _T:
        try:
            return await work
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as exc:
            place = (exc.filename2 or exc.filename).removeprefix(f"{self._root}/").partition("/")[2]
            raise InvalidInput(f"{place!r} is a file and a folder at once") from exc
        except OSError as exc:
            raise Unavailable(
                f"a workspace cannot be made in {self._root}: {exc.strerror}",
                hint="Make room on the service's disk.",
            ) from exc

    async def _in_thread(self, action: Callable[[], _T]) -> _T:
        return (await self._in_threads([action]))[0]

    async def _in_threads(self, actions: Sequence[Callable[[], _T]]) -> list[_T]:
        """Do all. However this ends, nothing is left running: workspaces are removed after failures."""
        jobs = [self._pool.submit(action) for action in actions]
        try:
            return list(await asyncio.gather(*map(asyncio.wrap_future, jobs)))
        finally:
            running = [asyncio.wrap_future(job) for job in jobs if not job.cancel()]
            await asyncio.shield(asyncio.gather(*running, return_exceptions=True))


def _with_parents(folders: Iterable[ProjectPath], files: Iterable[ProjectPath]) -> Sequence[ProjectPath]:
    """All folders that there must be, parents first."""
    found = set(folders)
    pending = [*found, *files]
    while pending:
        parent = ProjectPath(pending.pop().rpartition("/")[0])
        if parent and parent not in found:
            found.add(parent)
            pending.append(parent)
    return sorted(parse_project_path(folder) for folder in found)
