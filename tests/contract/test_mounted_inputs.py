"""Input folders of many files, which are mounted instead of laid out."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.engine_fixtures import STAGE_UID, Bench, bench, engine
from tests.fakes.object_store import FakeObjectStore
from tests.workspace_fixtures import ATTEMPT, House, data, remove_all
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.workspaces_local import LocalWorkspaces
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.task import InputData

__all__ = ["bench", "engine"]

FILES = {"a": b"one", "b": b"two", "sub/c": b"three"}


@dataclass
class MountingHouse(House):
    """Mounts every folder of three files and more."""

    def mounts(self, *inputs: InputData, folders: tuple[str, ...] = ()) -> Mapping[ProjectPath, Path]:
        async def run() -> Mapping[ProjectPath, Path]:
            return await self.workspaces.lay_out(
                await self.workspaces.create(ATTEMPT),
                files={},
                data=inputs,
                folders=[ProjectPath(folder) for folder in folders],
            )

        return asyncio.run(run())

    @property
    def workspace(self) -> Path:
        return self.root / ATTEMPT


@pytest.fixture
def house(tmp_path: Path) -> Iterator[MountingHouse]:
    store = FakeObjectStore()
    cache = LocalNodeCache(tmp_path / "cache", store=store)
    root = tmp_path / "workspaces"
    workspaces = LocalWorkspaces(root, cache=cache, uid=STAGE_UID, gid=STAGE_UID, mount_from_files=3)
    yield MountingHouse(store, cache, workspaces, root)
    asyncio.run(remove_all(workspaces))
    workspaces.close()
    cache.close()


def run(house: MountingHouse, bench: Bench, mounts: Mapping[ProjectPath, Path], command: str) -> str:
    spec = replace(
        bench.spec(command),
        workspace=house.workspace,
        read_only={f"/workspace/{path}": folder for path, folder in mounts.items()},
    )
    ran = asyncio.run(bench.run(spec))
    return ran.stdout.decode()


def content_of(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777, path.stat().st_uid)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_stage_sees_the_folder_and_can_change_nothing_in_it(house: MountingHouse, bench: Bench) -> None:
    mounts = house.mounts(data("deep/data", house.keep_tree(FILES)))
    folder = mounts[ProjectPath("deep/data")]
    assert list(house.workspace.joinpath("deep/data").iterdir()) == []
    before = content_of(folder)
    assert {path: content for path, (content, _, _) in before.items()} == FILES
    attack = """
    cd deep; cat data/a data/b data/sub/c; echo
    for file in data/a data/sub/c data/sub data; do
      chmod 777 $file && echo chmod; chown $(id -u) $file && echo chown; mv $file x && echo mv
      (echo x >$file) && echo write; (echo x >>$file) && echo append; truncate -s 0 $file && echo truncate
      python3 -c "import os; os.utime('$file', (0, 0))" && echo utime
      ln $file ../linked && echo link; echo x >own; mv own $file && echo over; rm -rf $file && echo rm
    done
    touch data/new && echo touch; mkdir data/new && echo mkdir
    mount -o remount,rw /workspace/deep/data && echo remount
    """
    assert run(house, bench, mounts, attack) == "onetwothree\n"
    assert content_of(folder) == before
    asyncio.run(house.workspaces.remove(house.workspace))
    assert content_of(folder) == before


def test_outputs_may_link_into_it_and_it_is_found_where_it_was_moved_to(
    house: MountingHouse, bench: Bench
) -> None:
    mounts = house.mounts(data("in/data", house.keep_tree(FILES)))
    command = """
    ln -s in/data/a one; mkdir split; ln -s ../in/data/sub/c split/x; ln -s /workspace/in/data/b split/y
    ln -s ../in/data/../../../etc/passwd split/out-of-it; rm split/out-of-it
    ln -s in/data/nothing broken; cp -r in/data copied; mkdir moved; mv in moved/in
    ln -s moved/in/data/a there
    """
    run(house, bench, mounts, command)
    for name in ("one", "split"):
        assert "does not exist" in house.refusal(name)  # the stage moved what its links lead to
    moved, there, copied = house.collect("moved", "there", "copied")
    assert {file.source.read_bytes() for file in moved.files} == set(FILES.values())
    assert moved.tree is not None
    assert [entry.path for entry in moved.tree.entries] == ["in/data/a", "in/data/b", "in/data/sub/c"]
    assert there.files[0].source.read_bytes() == b"one"
    assert copied.tree is not None
    assert "does not exist" in house.refusal("broken")


def test_a_workspace_that_is_taken_up_again_has_its_mounts(house: MountingHouse, bench: Bench) -> None:
    inputs = [data("in/data", house.keep_tree(FILES)), data("small", house.keep(b"small"))]
    run(house, bench, house.mounts(*inputs), "ln -s in/data/a one; cp small two")
    house.workspaces = LocalWorkspaces(
        house.root, cache=house.cache, uid=STAGE_UID, gid=STAGE_UID, mount_from_files=3
    )
    assert asyncio.run(house.workspaces.list_attempts()) == [ATTEMPT]
    taken_up = asyncio.run(house.workspaces.adopt(ATTEMPT, files={}, data=inputs, folders=[]))

    assert taken_up == house.workspace
    one, two = house.collect("one", "two")
    assert (one.files[0].source.read_bytes(), two.files[0].source.read_bytes()) == (b"one", b"small")


def test_links_to_members_count_by_their_content(house: MountingHouse, bench: Bench) -> None:
    mounts = house.mounts(data("data", house.keep_tree(FILES)))
    command = """
    ln -s data/a one; mkdir split; ln -s ../data/sub/c split/x; ln -s /workspace/data/b split/y
    mkdir evil; ln -s ../data/../../etc/passwd evil/x
    """
    run(house, bench, mounts, command)
    one, split = house.collect("one", "split")
    assert one.files[0].source.read_bytes() == b"one"
    assert [file.source.read_bytes() for file in split.files] == [b"three", b"two"]
    assert "leads out of the workspace" in house.refusal("evil")


def test_the_same_folder_is_used_again(house: MountingHouse) -> None:
    tree = house.keep_tree(FILES)
    first = house.mounts(data("here", tree), data("there", tree))
    assert first[ProjectPath("here")] == first[ProjectPath("there")]
    asyncio.run(house.workspaces.remove(house.workspace))
    assert house.mounts(data("elsewhere", tree))[ProjectPath("elsewhere")] == first[ProjectPath("here")]


def test_where_something_else_stands_or_is_written_it_is_laid_out(house: MountingHouse) -> None:
    tree = house.keep_tree(FILES)
    for others, folders in (
        ([data("data/sub/c", house.keep(b"three"))], ()),
        ([data("data", tree)], ("data",)),  # the parent of an output, or the working folder
        ([], ("data/made",)),
    ):
        assert house.mounts(data("data", tree), *others, folders=folders) == {}
        assert (house.workspace / "data/sub/c").read_bytes() == b"three"
        if os.geteuid() != STAGE_UID:
            assert (house.workspace / "data").stat().st_uid == STAGE_UID
        asyncio.run(house.workspaces.remove(house.workspace))
    assert house.mounts(data("small", house.keep_tree({"a": b"1", "b": b"2"}))) == {}


def test_identical_files_beyond_the_links_that_a_file_can_have_are_there(house: MountingHouse) -> None:
    many = {f"{number:05}": b"the same" for number in range(66_000)}
    mounts = house.mounts(data("data", house.keep_tree(many)))
    folder = mounts[ProjectPath("data")]
    assert len(list(folder.iterdir())) == len(many)
    assert (folder / "65999").read_bytes() == b"the same"
