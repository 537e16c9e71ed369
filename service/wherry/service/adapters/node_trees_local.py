"""Trees of the node's own copy that are laid out already: folders of hard links to blobs.

    trees/<boot>/<hash>.dir/…     folders 0755, files the very files of the blobs

A container gets such a folder as a read-only mount, which takes no time whatever its size: there it can change
neither names nor content nor modes. Trees of before the machine's last start are not believed: a loss of power may
have left files of them empty, which is noticed where a blob is used by itself.
"""

import asyncio
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from wherry.service.adapters.file_copy import copy_file
from wherry.service.adapters.folder_removal import remove_folder
from wherry.service.adapters.node_space import NodeSpace, note_tree_use
from wherry.service.adapters.shared_work import SharedWork
from wherry.service.domain.blob import BlobHash
from wherry.service.domain.errors import DISK_FULL, InvalidInput
from wherry.service.domain.limits import TREE_BYTES_MAX
from wherry.service.domain.tree import Tree, TreeEntry, parse_tree
from wherry.service.ports.workspaces import NodeCache, NodeLease

_T = TypeVar("_T")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# How many members are asked for at once when the node lacks them.
_FETCHES = 32

# A hard link cannot be had: other file system, too many links to one file, links not permitted.
NO_LINK = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP})

_MALFORMED = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})


class InThread(Protocol):
    """Runs something in a thread."""

    async def __call__(self, action: Callable[[], _T], /) -> _T:
        """Run it and return what it returns."""
        ...


class PreparedTrees:
    """Makes folders of trees, each once at a time."""

    def __init__(self, root: Path, *, blobs: NodeCache, space: NodeSpace, in_thread: InThread) -> None:
        """Keep trees in `trees_folder()` of `root`; half-made ones are in `incoming`."""
        self._root = root
        self._folder = root / trees_folder()
        self._blobs = blobs
        self._space = space
        self._in_thread = in_thread
        self._making = SharedWork[BlobHash, bool]()
        self._folder.mkdir(parents=True, exist_ok=True)
        for other in self._folder.parent.iterdir():
            if other != self._folder:
                shutil.rmtree(other)

    def path_of(self, tree: BlobHash) -> Path:
        """Where a tree's folder is, or would be."""
        return self._folder / tree

    async def ensure(self, tree: BlobHash, *, files_min: int) -> bool:
        """See that the folder of a tree is there, which the caller holds; False if it has too few files.

        Raises:
            BlobMissing: if a member is not to be had.
            InvalidInput: if the tree cannot be laid out.
            DiskFull: if there is no room.
        """
        if self.path_of(tree).is_dir():
            note_tree_use(str(self.path_of(tree)))
            return True
        return await self._making(tree, lambda: self._make(tree, files_min))

    async def _make(self, name: BlobHash, files_min: int) -> bool:
        data = await self._blobs.read(name, limit_bytes=TREE_BYTES_MAX)
        tree = await self._in_thread(lambda: parse_tree(data))
        if len(tree.entries) < files_min:
            return False
        with self._blobs.lease() as lease:
            await self._place(name, tree, await _gather(tree, lease))
        return True

    async def _place(self, name: BlobHash, tree: Tree, members: dict[BlobHash, str]) -> None:
        folder = self._root / "incoming" / uuid.uuid4().hex
        try:
            await self._in_thread(lambda: _lay_out(tree.entries, members, folder))
            await self._in_thread(lambda: folder.rename(self.path_of(name)))
        except OSError as exc:
            if exc.errno in _MALFORMED:
                raise InvalidInput(f"the tree {name} cannot be laid out: {exc.strerror}") from exc
            if exc.errno in DISK_FULL:
                raise self._space.full(None) from exc
            raise
        finally:
            await asyncio.shield(self._in_thread(lambda: remove_folder(folder)))


def trees_folder() -> str:
    """Where trees are that were made since the machine was started."""
    return f"trees/{_BOOT_ID.read_text().strip()}"


async def _gather(tree: Tree, lease: NodeLease) -> dict[BlobHash, str]:
    """Have all members on the node."""
    waiting = iter(tree.hashes())
    found: dict[BlobHash, str] = {}

    async def work() -> None:
        for blob in waiting:
            found[blob] = str(await lease.path(blob))
            if len(found) % 200 == 0:
                await asyncio.sleep(0)  # blobs at hand do not suspend: let others have the loop

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_FETCHES):
                group.create_task(work())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the others were cancelled because of the first
    return found


def _lay_out(entries: Sequence[TreeEntry], members: dict[BlobHash, str], folder: Path) -> None:
    made = set[str]()
    _make_folder(str(folder), made)
    for entry in entries:
        parent, _, name = entry.path.rpartition("/")
        where = f"{folder}/{parent}" if parent else str(folder)
        if where not in made:
            _make_folder(where, made)
        _link_or_copy(members[entry.hash], f"{where}/{name}")


def _make_folder(path: str, made: set[str]) -> None:
    parent = path.rpartition("/")[0]
    if made and parent not in made:
        _make_folder(parent, made)
    os.mkdir(path)  # noqa: PTH102 - thousands in a row
    os.chmod(path, 0o755)  # noqa: PTH101, S103 - mkdir obeys the umask; stages read it
    made.add(path)


def _link_or_copy(blob: str, target: str) -> None:
    try:
        os.link(blob, target)
    except OSError as exc:
        if exc.errno not in NO_LINK:
            raise
        copy_file(blob, target, 0o444)
