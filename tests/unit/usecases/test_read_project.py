"""A project is read with the values that its templates name, out of the snapshot."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.pack_index import FakePackIndex
from wherry.service.adapters.param_composer_hydra import HydraParamComposer
from wherry.service.domain.blob import BlobHash, Digest, digest_content, object_key
from wherry.service.domain.errors import InvalidInput, PipelineInvalid
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import Snapshot, SnapshotFile
from wherry.service.domain.submission import Composition, Needs, Submission
from wherry.service.ports.workspaces import NodeCache, NodeLease
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_project import Project, ReadProject
from wherry.service.usecases.set_params import SetParams


class StoreNodeCache(NodeCache):
    """Reads straight from the store."""

    def __init__(self, objects: FakeObjectStore) -> None:
        self._objects = objects

    async def read(self, digest_hash: str, *, limit_bytes: int) -> bytes:
        data = await self._objects.get(object_key(BlobHash(digest_hash)))
        assert data is not None
        return data

    def holds(self, digest_hash: str) -> bool:
        return False

    async def path(self, digest_hash: str) -> Path:
        raise AssertionError(digest_hash)

    def lease(self) -> AbstractContextManager[NodeLease]:
        raise AssertionError("nothing is leased here")

    async def make_room(self, size_bytes: int) -> None:
        """There is room."""

    async def adopt(self, digest_hash: str, source: Path) -> None:
        """Nothing to do."""


def _read(
    spool: Path,
    files: Mapping[str, str],
    *,
    missing: str = "",
    set_params: tuple[str, ...] = (),
    composition: Composition = Composition.WITH_CHANGES,
    folder: str = ".",
) -> Project | Needs:
    objects = FakeObjectStore()
    node = StoreNodeCache(objects)
    index = FakeBlobIndex()
    put = PutBlobs(objects=objects, index=index, node=node, spool=spool)
    sources = FindSources(index=index, packs=FakePackIndex())
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
        submission = Submission(
            project="p",
            user="u",
            snapshot=snapshot,
            set_params=set_params,
            composition=composition,
            working_folder=ProjectPath(folder),
        )
        read = ReadBlobs(node)
        change = SetParams(put=put, read=read, composer=HydraParamComposer(at_once=1))
        return await ReadProject(sources=sources, read=read, set_params=change)(submission)

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


HYDRA = {
    ".dvc/config": "[hydra]\n    enabled = True\n",
    "conf/config.yaml": "defaults: [db: mysql, _self_]\nlr: 0.1\ntwice: ${lr}\n",
    "conf/db/mysql.yaml": "port: 3306\n",
    "conf/db/pg.yaml": "port: 5432\n",
    "params.yaml": "lr: 7\ndb: {port: 1}\n",
    "dvc.yaml": "stages:\n  s: {cmd: 'x ${lr} ${db.port}'}\n",
}


@pytest.mark.parametrize(
    ("set_params", "composition", "cmd"),
    [
        ((), Composition.WITH_CHANGES, "x 7 1"),
        ((), Composition.ALWAYS, "x 0.1 3306"),
        (("db=pg", "lr=5"), Composition.WITH_CHANGES, "x 5 5432"),
        (("db.port=2",), Composition.NEVER, "x 7 2"),
    ],
)
def test_parameters_are_composed_where_dvc_composes_them(
    tmp_path: Path, set_params: tuple[str, ...], composition: Composition, cmd: str
) -> None:
    project = _read(tmp_path, HYDRA, set_params=set_params, composition=composition)
    assert isinstance(project, Project)
    assert [stage.cmd for stage in project.stages] == [cmd]


def test_a_params_file_that_was_not_there_is_made(tmp_path: Path) -> None:
    files = {path: text for path, text in HYDRA.items() if path != "params.yaml"}
    project = _read(tmp_path, files, composition=Composition.ALWAYS)
    assert isinstance(project, Project)
    assert project.changed_params == {"params.yaml": ""}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({".dvc/config": "[hydra]\nenabled = maybe\n"}, "hydra.enabled cannot be 'maybe'"),
        (
            {".dvc/config": "[hydra]\nenabled = true\nconfig_module = x.y\n"},
            "config_module names Python code",
        ),
        ({".dvc/config": "[hydra]\nenabled = true\nplugins_path = x\n"}, "plugins_path names Python code"),
        ({".dvc/config": "[hydra]\nenabled = true\nconfig_dir = ../../etc\n"}, "leads out of the project"),
        ({".dvc/config": "[hydra]\nenabled = true\nconfig_dir = nowhere\n"}, "no configuration in nowhere"),
        ({".dvc/config": "[hydra]\nenabled = true\nconfig_name = other\n"}, "other"),
        ({"hydra_plugins/mine.py": "import os\n"}, "plugin of Hydra, which the service does not run"),
    ],
)
def test_a_composition_that_cannot_be_made_is_refused_by_name(
    tmp_path: Path, changes: Mapping[str, str], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        _read(tmp_path, {**HYDRA, **changes}, composition=Composition.ALWAYS)


def test_what_takes_hydra_is_set_by_it(tmp_path: Path) -> None:
    files = {"params.yaml": "a: 1\nb: ${a}  # same\n", "dvc.yaml": "stages:\n  s: {cmd: 'x ${b}'}\n"}
    project = _read(tmp_path, files, set_params=("a=int(2.9)",))
    assert isinstance(project, Project)
    assert [stage.cmd for stage in project.stages] == ["x 2"]
