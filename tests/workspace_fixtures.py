"""Workspaces for tests, on a cache on a store in memory. Import the fixtures by name."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine_fixtures import STAGE_UID
from tests.fakes.object_store import FakeObjectStore
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.workspaces_local import LocalWorkspaces
from wherry.service.domain.blob import BlobHash, hash_content, object_key
from wherry.service.domain.dvc.ignore import IgnoreRules
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.task import AttemptId, InputData
from wherry.service.domain.tree import Tree, TreeEntry
from wherry.service.ports.workspaces import CollectedOutput, OutputUnusable

ATTEMPT = AttemptId("a1")


@dataclass
class House:
    """Workspaces on a cache on a store, and short words for using them."""

    store: FakeObjectStore
    cache: LocalNodeCache
    workspaces: LocalWorkspaces
    root: Path

    def keep(self, content: bytes) -> BlobHash:
        name = hash_content(content)
        self.store.objects[object_key(name)] = content
        return name

    def keep_tree(self, files: Mapping[str, bytes]) -> BlobHash:
        tree = Tree.of(TreeEntry(path, self.keep(content)) for path, content in files.items())
        name = tree.digest().hash
        self.store.objects[object_key(name)] = tree.to_bytes()
        return name

    def file(self, content: bytes, *, executable: bool = False) -> SnapshotFile:
        return SnapshotFile(hash=self.keep(content), size_bytes=len(content), executable=executable)

    def lay_out(
        self,
        files: Mapping[str, SnapshotFile] | None = None,
        data: Iterable[InputData] = (),
        folders: Iterable[str] = (),
    ) -> Path:
        async def run() -> Path:
            workspace = await self.workspaces.create(ATTEMPT)
            await self.workspaces.lay_out(
                workspace,
                files={ProjectPath(path): file for path, file in (files or {}).items()},
                data=list(data),
                folders=[ProjectPath(folder) for folder in folders],
            )
            return workspace

        return asyncio.run(run())

    def collect(
        self, *outputs: str, patterns: Mapping[str, str] | None = None
    ) -> tuple[CollectedOutput, ...]:
        """Collect outputs, with .dvcignore files by their paths."""
        rules = IgnoreRules({ProjectPath(path): text.encode() for path, text in (patterns or {}).items()})
        paths = [ProjectPath(output) for output in outputs]
        return asyncio.run(self.workspaces.collect(self.root / ATTEMPT, paths, rules))

    def refusal(self, output: str) -> str:
        with pytest.raises(OutputUnusable) as caught:
            self.collect(output)
        return str(caught.value)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    store = FakeObjectStore()
    cache = LocalNodeCache(tmp_path / "cache", store=store)
    root = tmp_path / "workspaces"
    workspaces = LocalWorkspaces(root, cache=cache, uid=STAGE_UID, gid=STAGE_UID)
    yield House(store, cache, workspaces, root)
    asyncio.run(remove_all(workspaces))
    assert list(root.iterdir()) == []
    workspaces.close()
    cache.close()


@pytest.fixture
def workspace(house: House) -> Path:
    return house.lay_out()


def data(path: str, name: BlobHash, *, executable: bool = False, writable: bool = False) -> InputData:
    return InputData(project_path=ProjectPath(path), hash=name, executable=executable, writable=writable)


async def remove_all(workspaces: LocalWorkspaces) -> None:
    """Remove what an earlier life of the service left."""
    for attempt in await workspaces.list_attempts():
        await workspaces.remove_attempt(attempt)
