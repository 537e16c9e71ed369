"""What of DVC's run cache may stand for running a stage, where the project trusts it."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.pack_index import FakePackIndex
from tests.fakes.run_cache import FakeRunCache
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.param_composer_hydra import HydraParamComposer
from wherry.service.domain.blob import BlobHash, digest_content, hash_content, object_key
from wherry.service.domain.dvc.run_cache import entries_folder
from wherry.service.domain.images.image import Image
from wherry.service.domain.network import NetworkPolicy
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry
from wherry.service.domain.snapshot import Snapshot, SnapshotFile
from wherry.service.domain.states import HitSource
from wherry.service.domain.submission import Needs, Submission
from wherry.service.domain.task import RunId, StageTask
from wherry.service.domain.tree import Tree, TreeEntry
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.adopt_legacy import AdoptLegacy
from wherry.service.usecases.find_dvc_result import FindDvcResult
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.find_recorded import FindRecorded
from wherry.service.usecases.find_result import FindResult, Known
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_ignore_rules import ReadIgnoreRules
from wherry.service.usecases.read_project import ReadProject
from wherry.service.usecases.resolve_stage import ResolveStage, open_state
from wherry.service.usecases.set_params import SetParams

FILES = {
    "dvc.yaml": "stages:\n  s: {cmd: make o, deps: [a], params: [lr, size, on], outs: [o]}\n",
    "params.yaml": "lr: 0.1\nsize: 7\non: true\n",
    "a": "dep",
    ".dvc/wherry.toml": "[run_cache]\ntrust_dvc = true\n",
}
DEP, OUT = hash_content(b"dep"), hash_content(b"output")
ENTRY = f"""\
cmd: make o
deps:
- path: a
  hash: md5
  md5: {DEP}
  size: 3
params:
  params.yaml:
    lr: 0.1
    'on': true
    size: 7
outs:
- path: o
  hash: md5
  md5: {OUT}
  size: 6
"""


@dataclass
class House:
    """A bucket with a run cache that laptops push to, and what looks into it."""

    folder: Path

    def __post_init__(self) -> None:
        self.objects, self.index = FakeObjectStore(), FakeBlobIndex()
        node = LocalNodeCache(self.folder / "node", store=self.objects)
        self.put = PutBlobs(objects=self.objects, index=self.index, node=node, spool=self.folder)
        self.node = node
        self.read = ReadBlobs(node)
        adopt = AdoptBlobs(index=self.index, objects=self.objects, read=self.read)
        dvc = FindDvcResult(objects=self.objects, index=self.index, adopt=adopt, read=self.read)
        self.find = FindResult(cache=FakeRunCache(), index=self.index, adopt=adopt, dvc=dvc)

    async def push(self, content: bytes) -> BlobHash:
        await self.objects.put(object_key(hash_content(content)), content)
        return hash_content(content)

    async def task(self, files: dict[str, str], *, use_cache: bool = True) -> StageTask:
        entries = {}
        for path, text in files.items():
            digest = await self.put.put_content(text.encode())
            entries[ProjectPath(path)] = SnapshotFile(hash=digest.hash, size_bytes=digest.size_bytes)
        submission = Submission(project="p", user="ana", snapshot=Snapshot(files=entries, data={}))
        sources = FindSources(index=self.index, packs=FakePackIndex())
        set_params = SetParams(put=self.put, read=self.read, composer=HydraParamComposer(at_once=1))
        project = await ReadProject(sources=sources, read=self.read, set_params=set_params)(submission)
        assert not isinstance(project, Needs)
        image = Image(name="i", digest="sha256:0", platform="linux/amd64")
        rules = await ReadIgnoreRules(self.read)(project)
        state = open_state(project, {}, {stage.name: image for stage in project.stages}, rules)
        legacy = FindLegacyHashes(held=sources, read=self.read, node=self.node)
        adopt_legacy = AdoptLegacy(objects=self.objects, index=self.index, put=self.put, spool=self.folder)
        resolve = ResolveStage(
            index=self.index,
            read=self.read,
            legacy=legacy,
            recorded=FindRecorded(index=self.index, legacy=legacy, adopt=adopt_legacy),
            network=NetworkPolicy(),
        )
        return await resolve(state, project.stages[0], run_id=RunId("1"), use_cache=use_cache, forced=False)

    async def push_entry(self, task: StageTask, text: str, name: str = "e") -> None:
        assert task.dvc_key is not None
        await self.objects.put(entries_folder(task.dvc_key) + name, text.encode())


def found(
    tmp_path: Path, text: str, files: dict[str, str] | None = None, *, use_cache: bool = True
) -> Known | None:
    """What is found for the stage when a laptop has pushed the output and this entry."""

    async def look() -> Known | None:
        house = House(tmp_path)
        await house.push(b"output")
        task = await house.task({**FILES, **(files or {})}, use_cache=use_cache)
        await house.push_entry(task, text)
        return await house.find(task)

    return asyncio.run(look())


def test_an_entry_about_the_same_work_is_used(tmp_path: Path) -> None:
    known = found(tmp_path, ENTRY)

    assert known is not None
    assert (known.source, known.result) == (HitSource.DVC_RUN_CACHE, None)
    assert known.entry.outs == (FileEntry(path="o", hash=OUT, size_bytes=6),)


def test_without_the_projects_trust_nothing_is_used(tmp_path: Path) -> None:
    assert found(tmp_path, ENTRY, {".dvc/wherry.toml": ""}) is None
    assert found(tmp_path / "2", ENTRY, {".dvc/wherry.toml": "[run_cache]\ntrust_dvc = false\n"}) is None


def test_a_forced_stage_runs(tmp_path: Path) -> None:
    assert found(tmp_path, ENTRY, use_cache=False) is None


def swap(old: str, new: str) -> str:
    assert old in ENTRY
    return ENTRY.replace(old, new)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(swap("make o", "make p"), id="another command"),
        pytest.param(swap("cmd: make o", "cmd: [make o]"), id="a list instead of a string"),
        pytest.param(swap(DEP, OUT), id="another dependency"),
        pytest.param(
            swap("  size: 3\n", "  size: 3\n- path: b\n  hash: md5\n  md5: " + DEP + "\n"),
            id="one dependency more",
        ),
        pytest.param(swap("size: 7", "size: 8"), id="another parameter that DVC's key leaves out"),
        pytest.param(swap("    size: 7\n", ""), id="without a parameter that DVC's key leaves out"),
        pytest.param(swap("'on': true", "'on': 1"), id="another type of parameter"),
        pytest.param(swap("path: o", "path: p"), id="another output"),
        pytest.param(swap(OUT, "f" * 32), id="an output that is not held"),
        pytest.param(swap(OUT, "../../../etc/passwd"), id="no hash"),
        pytest.param(swap("  hash: md5\n  md5: " + OUT, "  md5: " + OUT), id="a hash of DVC 2"),
        pytest.param(ENTRY + "surplus: 1\n", id="a key that DVC does not know"),
        pytest.param("", id="empty"),
        pytest.param("- 1\n", id="a list"),
        pytest.param("cmd: [", id="no YAML"),
        pytest.param("\0\1", id="no text"),
        pytest.param("a: &a [x]\nb: &b [*a, *a]\n", id="aliases"),
        pytest.param(ENTRY + "#" * (5 * 1024 * 1024), id="too long"),
        pytest.param(swap("lr: 0.1", "? {2020-01-01: 1}\n    : 2"), id="a mapping as a key"),
    ],
)
def test_any_other_entry_is_a_miss(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) is None


def test_sizes_are_those_of_the_content_whatever_the_entry_says(tmp_path: Path) -> None:
    known = found(tmp_path, swap("  size: 6\n", "  size: 999\n  isexec: true\n"))

    assert known is not None
    assert known.entry.outs == (FileEntry(path="o", hash=OUT, size_bytes=6, executable=True),)


def test_a_folder_is_used_when_its_members_are_there_and_is_measured(tmp_path: Path) -> None:
    async def look() -> tuple[Known | None, Known | None]:
        house = House(tmp_path)
        tree = Tree.of(TreeEntry(name, hash_content(name.encode())) for name in ("aa", "b"))
        await house.objects.put(object_key(tree.digest().hash), tree.to_bytes())
        await house.push(b"aa")
        task = await house.task(FILES)
        await house.push_entry(task, ENTRY.replace(OUT, tree.digest().hash))
        before = await house.find(task)
        await house.push(b"b")
        return before, await house.find(task)

    before, after = asyncio.run(look())
    assert before is None
    assert after is not None
    assert (after.entry.outs[0].size_bytes, after.entry.outs[0].nfiles) == (3, 2)


def test_the_newest_entry_counts_and_older_ones_are_not_tried(tmp_path: Path) -> None:
    async def look(*contents: bytes) -> BlobHash | None:
        house = House(tmp_path / contents[-1].decode())
        await house.push(b"first")
        await house.push(b"second")
        task = await house.task(FILES)
        for number, content in enumerate(contents):
            text = ENTRY.replace(OUT, digest_content(content).hash)
            await house.push_entry(task, text, name=str(9 - number))
        known = await house.find(task)
        return None if known is None else known.entry.outs[0].hash

    assert asyncio.run(look(b"first", b"second")) == hash_content(b"second")
    assert asyncio.run(look(b"second", b"first")) == hash_content(b"first")
    assert asyncio.run(look(b"first", b"absent")) is None


LOCK = "schema: '2.0'\nstages:\n  s:\n" + "".join(f"    {line}\n" for line in ENTRY.splitlines())


@pytest.mark.parametrize(
    ("lock", "trust", "expected"),
    [
        pytest.param(LOCK, "true", HitSource.DVC_LOCK, id="trusted"),
        pytest.param(LOCK, "false", None, id="not trusted"),
        pytest.param(LOCK.replace("size: 7", "size: 8"), "true", None, id="changed"),
        pytest.param(LOCK.replace(OUT, "f" * 32), "true", None, id="not held"),
    ],
)
def test_what_dvc_lock_records_counts_where_it_is_trusted(
    tmp_path: Path, lock: str, trust: str, expected: HitSource | None
) -> None:
    async def look() -> Known | None:
        house = House(tmp_path)
        await house.put.put_content(b"output")
        settings = f"[run_cache]\ntrust_dvc = {trust}\n"
        return await house.find(await house.task({**FILES, "dvc.lock": lock, ".dvc/wherry.toml": settings}))

    known = asyncio.run(look())
    assert (known.source if known else None) == expected
