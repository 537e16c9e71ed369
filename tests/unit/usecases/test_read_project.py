"""A project is read with the values that its templates name, out of the snapshot."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.object_store import FakeObjectStore
from wherry.service.domain.blob import BlobHash, Digest, digest_content, object_key
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import Snapshot, SnapshotFile
from wherry.service.domain.submission import Needs, Submission
from wherry.service.ports.workspaces import NodeCache, NodeLease
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_project import Project, ReadProject


class StoreNodeCache(NodeCache):
    """Reads straight from the store."""

    def __init__(self, objects: FakeObjectStore) -> None:
        self._objects = objects

    async def read(self, digest_hash: str, *, limit_bytes: int) -> bytes:
        data = await self._objects.get(object_key(BlobHash(digest_hash)))
        assert data is not None
        return data

    async def path(self, digest_hash: str) -> Path:
        raise AssertionError(digest_hash)

    def lease(self) -> AbstractContextManager[NodeLease]:
        raise AssertionError("nothing is leased here")

    async def make_room(self, size_bytes: int) -> None:
        """There is room."""

    async def adopt(self, digest_hash: str, source: Path) -> None:
        """Nothing to do."""


def _read(
    spool: Path, files: Mapping[str, str], *, missing: str = "", set_params: tuple[str, ...] = ()
) -> Project | Needs:
    objects = FakeObjectStore()
    node = StoreNodeCache(objects)
    put = PutBlobs(objects=objects, index=FakeBlobIndex(), node=node, spool=spool)
    digests = {path: digest_content(text.encode()) for path, text in files.items()}
    snapshot = Snapshot(
        files={
            ProjectPath(path): SnapshotFile(hash=digest.hash, size_bytes=digest.size_bytes)
            for path, digest in digests.items()
        },
        data={},
    )

    async def act() -> Project | Needs:
        for path, text in files.items():
            if path != missing:
                await put.put_content(text.encode())
        submission = Submission(project="p", user="u", snapshot=snapshot, set_params=set_params)
        return await ReadProject(put=put, read=ReadBlobs(node))(submission)

    return asyncio.run(act())


FILES = {
    "params.yaml": "lr: 1\nflags: {f: false, l: [1, 2]}\n",
    "more/values.json": '{"opt": "adam"}',
    "w-1/local.yaml": "z: here\n",
    ".dvc/config": "[parsing]\n    bool = boolean_optional\n    list = append\n",
    "dvc.yaml": """\
vars: [more/values.json]
stages:
  one: {cmd: 'x ${lr} ${opt} ${flags}'}
  two: {cmd: 'x ${z}', wdir: 'w-${lr}', vars: [local.yaml]}
""",
    "sub/params.yaml": "names: [u, v]\n",
    "sub/dvc.yaml": "stages: {s: {foreach: '${names}', do: {cmd: 'x ${item}'}}}\n",
}


def _commands(project: Project | Needs) -> Mapping[str, object]:
    assert isinstance(project, Project)
    return {name: stage.cmd for name, stage in project.pipeline.stages.items()}


def test_templates_see_all_files_that_they_name(tmp_path: Path) -> None:
    assert _commands(_read(tmp_path, FILES)) == {
        "one": "x 1 adam --no-f --l 1 --l 2",
        "two": "x here",
        "sub/dvc.yaml:s@u": "x u",
        "sub/dvc.yaml:s@v": "x v",
    }


def test_templates_see_parameters_as_they_were_set(tmp_path: Path) -> None:
    files = {**FILES, "w-7/local.yaml": "z: there\n"}
    commands = _commands(_read(tmp_path, files, set_params=("lr=7", "sub/params.yaml:names=[w]")))
    assert commands == {
        "one": "x 7 adam --no-f --l 1 --l 2",
        "two": "x there",
        "sub/dvc.yaml:s@w": "x w",
    }


def test_a_file_of_values_that_is_not_held_is_asked_for(tmp_path: Path) -> None:
    needs = _read(tmp_path, FILES, missing="w-1/local.yaml")
    data = FILES["w-1/local.yaml"].encode()
    assert isinstance(needs, Needs)
    assert needs.blobs == (Digest(digest_content(data).hash, len(data)),)


def test_a_file_of_values_that_the_project_lacks_is_refused_where_it_is_named(tmp_path: Path) -> None:
    files = {path: text for path, text in FILES.items() if path != "more/values.json"}
    with pytest.raises(
        PipelineInvalid, match=r"'more/values\.json' is not among the project's files"
    ) as caught:
        _read(tmp_path, files)
    assert str(caught.value.place) == "dvc.yaml:1:8"
