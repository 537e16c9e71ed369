"""How much the node's own copy takes, and what goes when it is too much."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.fakes.object_store import FakeObjectStore
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.domain.blob import BlobHash, hash_content, object_key
from wherry.service.domain.errors import BlobMissing
from wherry.service.domain.tree import Tree, TreeEntry

_T = TypeVar("_T")

BLOCK = 4096
DEADLINE_S = 30.0
REPOSITORY = Path(__file__).parents[2]


class Node:
    """A cache of a few blocks on a store with as many blobs as wanted, each of one block."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = FakeObjectStore()

    def keep(self, *numbers: int) -> list[BlobHash]:
        blobs = []
        for number in numbers:
            content = number.to_bytes(8) * (BLOCK // 8)
            blobs.append(hash_content(content))
            self.store.objects[object_key(blobs[-1])] = content
        return blobs

    def keep_tree(self, *numbers: int) -> BlobHash:
        members = self.keep(*numbers)
        tree = Tree.of(
            TreeEntry(f"sub/{number}", blob) for number, blob in zip(numbers, members, strict=True)
        )
        name = tree.digest().hash
        self.store.objects[object_key(name)] = tree.to_bytes()
        return name

    def live(self, blocks: int, action: Callable[[LocalNodeCache], Coroutine[Any, Any, _T]]) -> _T:
        async def run() -> _T:
            cache = LocalNodeCache(self.root, store=self.store, bytes_max=blocks * BLOCK)
            try:
                return await action(cache)
            finally:
                cache.close()

        return asyncio.run(run())

    def has(self, blob: BlobHash) -> bool:
        return (self.root / object_key(blob)).exists()

    def used(self, blob: BlobHash, hours_ago: float) -> None:
        """Make a blob look as if it had been used then, and not since."""
        path = self.root / object_key(blob)
        os.utime(path, (time.time() - hours_ago * 3600, path.stat().st_mtime))

    def blocks(self) -> int:
        return sum(
            path.stat().st_size // BLOCK for path in (self.root / "files").rglob("*") if path.is_file()
        )

    async def fetch_until(self, cache: LocalNodeCache, is_so: Callable[[], bool], first: int) -> None:
        """Use new blobs until the cache has done what is expected of it."""
        deadline = time.monotonic() + DEADLINE_S
        while not is_so() and time.monotonic() < deadline:
            await cache.path(self.keep(first)[0])
            first += 1
        assert is_so()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "node")


def test_what_was_not_used_for_longest_goes_first(node: Node) -> None:
    blobs = node.keep(*range(8))

    async def fill(cache: LocalNodeCache) -> None:
        for blob in blobs:
            await cache.path(blob)
        for hours_ago, blob in enumerate(reversed(blobs), start=1):
            node.used(blob, hours_ago)
        await cache.path(blobs[0])  # used now: no longer the one that goes first

    async def use_another(cache: LocalNodeCache) -> None:
        await node.fetch_until(cache, lambda: not node.has(blobs[1]), first=100)

    node.live(100, fill)
    # Another life, with less room: what was used when is still known.
    node.live(8, use_another)
    assert node.has(blobs[0])
    assert node.has(blobs[7])
    assert node.blocks() <= 9


def test_the_bound_holds_over_many_blobs(node: Node) -> None:
    async def use(cache: LocalNodeCache) -> None:
        for number in range(300):
            assert (await cache.read(node.keep(number)[0], limit_bytes=BLOCK))[:8] == number.to_bytes(8)
        await node.fetch_until(cache, lambda: node.blocks() <= 21, first=1000)

    node.live(20, use)


def test_what_is_leased_stays_until_the_lease_ends(node: Node) -> None:
    leased = node.keep(*range(10))

    async def use(cache: LocalNodeCache) -> None:
        with cache.lease() as lease:
            paths = [await lease.path(blob) for blob in leased]
            for blob in leased:
                node.used(blob, hours_ago=1)
            for number in range(100, 160):
                await cache.path(node.keep(number)[0])
            assert all(path.exists() for path in paths)
        # A pass that could do nothing is not repeated at once: this is the next life's work.

    async def go_on(cache: LocalNodeCache) -> None:
        await node.fetch_until(cache, lambda: not any(map(node.has, leased)), first=1000)

    node.live(5, use)
    node.live(5, go_on)


def test_what_a_workspace_has_a_hard_link_to_stays(node: Node, tmp_path: Path) -> None:
    linked, other = node.keep(1, 2)

    async def use(cache: LocalNodeCache) -> None:
        os.link(await cache.path(linked), tmp_path / "input")
        await cache.path(other)
        node.used(linked, hours_ago=2)
        node.used(other, hours_ago=1)
        await node.fetch_until(cache, lambda: not node.has(other), first=100)

    node.live(3, use)
    assert node.has(linked)


def test_a_tree_that_is_laid_out_goes_before_its_members_and_not_while_leased(node: Node) -> None:
    tree = node.keep_tree(*range(4))
    members = node.keep(*range(4))

    async def use(cache: LocalNodeCache) -> Path:
        with cache.lease() as lease:
            folder = await lease.tree_folder(tree, files_min=4)
            assert folder is not None
            os.utime(folder, (0, 0))
            for number in range(100, 140):
                await cache.path(node.keep(number)[0])
            assert sorted(path.name for path in (folder / "sub").iterdir()) == ["0", "1", "2", "3"]
            assert all(map(node.has, members))
        return folder

    async def go_on(cache: LocalNodeCache) -> None:
        for blob in members:
            node.used(blob, hours_ago=1)
        os.utime(folder, (0, 0))
        await node.fetch_until(cache, lambda: not any(map(node.has, members)), first=1000)

    folder = node.live(5, use)
    node.live(5, go_on)
    assert not folder.exists()
    assert list((node.root / "incoming").iterdir()) == []


def test_a_tree_is_laid_out_once_and_again_known_after_a_restart(node: Node) -> None:
    tree = node.keep_tree(*range(10))

    async def use(cache: LocalNodeCache) -> tuple[Path, int]:
        with cache.lease() as one, cache.lease() as other:
            folders = await asyncio.gather(*(lease.tree_folder(tree, files_min=10) for lease in (one, other)))
            assert folders[0] is not None
            assert folders[0] == folders[1]
            assert await one.tree_folder(node.keep_tree(1, 2), files_min=3) is None
            return folders[0], folders[0].stat().st_ino

    first = node.live(1000, use)
    node.store.objects.clear()
    node.keep_tree(1, 2)
    assert node.live(1000, use) == first


def test_a_tree_of_before_the_machines_last_start_is_not_believed(node: Node) -> None:
    stale = node.root / "trees" / "11111111-2222-3333-4444-555555555555" / f"{'ab' * 16}.dir"
    stale.mkdir(parents=True)
    (stale / "empty after a loss of power").write_text("")
    node.live(10, lambda cache: cache.path(node.keep(1)[0]))
    assert not stale.parent.exists()


def test_a_tree_without_a_member_is_not_there(node: Node) -> None:
    tree = node.keep_tree(1, 2, 3)
    lacking = node.keep(2)[0]
    del node.store.objects[object_key(lacking)]

    async def use(cache: LocalNodeCache) -> None:
        with cache.lease() as lease:
            for _ in range(2):
                with pytest.raises(BlobMissing, match=lacking):
                    await lease.tree_folder(tree, files_min=1)

    node.live(100, use)


_ON_A_SMALL_DISK = """
import asyncio, json, sys
from pathlib import Path
from tests.contract.test_node_space import Node, BLOCK
from wherry.service.domain.errors import DiskFull
from wherry.service.domain.blob import hash_content, object_key

node = Node(Path(sys.argv[1]) / "node")
told = {}

def keep(letter, size):
    content = letter * size
    node.store.objects[object_key(hash_content(content))] = content
    return hash_content(content)

async def use(cache):
    first, second, third = (keep(letter, 1_500_000) for letter in (b"1", b"2", b"3"))
    for blob in (first, second):
        await cache.path(blob)
    node.used(first, hours_ago=1)
    await cache.path(third)
    told["after the third"] = [node.has(blob) for blob in (first, second, third)]
    with cache.lease() as lease:
        await lease.path(third)
        try:
            await cache.path(keep(b"4", 10_000_000))
        except DiskFull as exc:
            told["message"], told["hint"] = exc.message, exc.hint
        try:
            await cache.make_room(10_000_000)
        except DiskFull as exc:
            told["make_room"] = exc.message
        told["leased"] = node.has(third)
    told["half-written"] = [path.name for path in (node.root / "incoming").iterdir()]

node.live(1_000_000, use)
print(json.dumps(told))
"""


def test_on_a_full_disk_room_is_made_and_else_it_is_said_what_is_needed(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=4m none "{disk}" && exec "$@"'
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    python = [sys.executable, "-c", _ON_A_SMALL_DISK, str(disk)]
    ran = subprocess.run(
        [*unshare, "sh", "-c", mount, "sh", *python],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["after the third"] == [False, True, True]
    assert "10.0 MB are needed" in told["message"]
    assert str(disk / "node") in told["message"]
    assert "WHERRY_HOME" in told["hint"]
    assert "10.0 MB are needed" in told["make_room"]
    assert told["leased"] is True
    assert told["half-written"] == []


def test_the_executable_variant_is_a_file_of_its_own(node: Node) -> None:
    (blob,) = node.keep(1)

    async def use(cache: LocalNodeCache) -> None:
        with cache.lease() as lease:
            variants = [lease.path(blob, executable=True) for _ in range(3)]
            executable, *others = await asyncio.gather(*variants)
            plain = await lease.path(blob)
        assert others == [executable, executable]
        assert (plain.stat().st_mode & 0o777, executable.stat().st_mode & 0o777) == (0o444, 0o555)
        assert not plain.samefile(executable)
        assert executable.read_bytes() == plain.read_bytes()

    node.live(100, use)
