"""What a stage read is seen afterwards, whichever way it read; where it cannot be seen, that is known."""

import asyncio
import fcntl
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine_fixtures import STAGE_UID
from tests.workspace_fixtures import ATTEMPT, House, house
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.workspaces_local import LocalWorkspaces
from wherry.service.domain.paths import ProjectPath

__all__ = ["house"]

# From linux/fs.h: flags of a file; one of them, which new files of a folder inherit, is that access is not recorded.
_GET_FLAGS, _SET_FLAGS, _NO_ACCESS_TIME = 0x80086601, 0x40086602, 0x80


def _read(house: House, *paths: str) -> list[str]:
    found = asyncio.run(
        house.workspaces.find_read(house.root / ATTEMPT, [ProjectPath(path) for path in paths])
    )
    assert found is not None
    return sorted(found)


def _map(file: Path) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as content:
        assert content[0]


@pytest.mark.parametrize(
    "read",
    [
        Path.read_bytes,
        _map,
        lambda file: subprocess.run([file], check=True),
        lambda file: shutil.copyfile(file, file.with_suffix(".copy")),
        lambda file: subprocess.run(["cp", "-p", file, file.with_suffix(".copy")], check=True),
        lambda file: (
            file.with_suffix(".link").symlink_to(file.name) or file.with_suffix(".link").read_bytes()
        ),
    ],
    ids=["read", "mmap", "execute", "copyfile", "cp -p", "through a link"],
)
def test_every_way_to_read_is_seen(house: House, read: Callable[[Path], object]) -> None:
    script = house.file(b"#!/bin/sh\ntrue\n", executable=True)
    workspace = house.lay_out({"a": script, "b": script})
    read(workspace / "a")
    assert _read(house, "a", "b") == ["a"]


def test_to_list_to_stat_and_to_open_is_not_to_read(house: House) -> None:
    workspace = house.lay_out({"sub/a": house.file(b"x")})
    assert [path.stat().st_size for path in (workspace / "sub").iterdir()] == [1]
    (workspace / "sub/a").open("rb", buffering=0).close()
    (workspace / "sub/a").chmod(0o600)
    assert _read(house, "sub/a") == []


def test_what_the_stage_wrote_first_is_none_of_its_inputs(house: House) -> None:
    workspace = house.lay_out(
        {path: house.file(b"old") for path in ("written", "own", "updated", "replaced")}
    )
    (workspace / "written").write_bytes(b"new")
    (workspace / "own").write_bytes(b"new")
    text = (workspace / "updated").read_bytes()
    (workspace / "updated").write_bytes(text + b"er")
    # As `sed -i`: whether the file was read before it was replaced cannot be told any more.
    (workspace / "fresh").write_bytes(b"new")
    (workspace / "fresh").rename(workspace / "replaced")
    _wait_for_another_instant(workspace)
    (workspace / "own").read_bytes()
    (workspace / "replaced").read_bytes()
    assert _read(house, "written", "own", "updated", "replaced", "never") == ["never", "replaced", "updated"]


def test_what_was_read_is_still_known_after_a_restart(house: House) -> None:
    workspace = house.lay_out({path: house.file(b"x") for path in ("a", "b", "c")})
    (workspace / "a").read_bytes()
    (workspace / "c").write_bytes(b"y")
    again = LocalWorkspaces(house.root, cache=house.cache, uid=STAGE_UID, gid=STAGE_UID)
    paths = [ProjectPath(path) for path in "abc"]
    assert asyncio.run(again.find_read(workspace, paths)) == ["a"]
    again.close()


def test_inputs_and_the_nodes_copies_keep_their_times(house: House) -> None:
    file = house.file(b"x")
    house.lay_out({"a": file})
    assert asyncio.run(house.cache.path(file.hash)).stat().st_atime_ns > 0


def test_where_access_is_not_recorded_it_is_known_that_reads_are_not_seen(
    house: House, tmp_path: Path
) -> None:
    root = tmp_path / "blind"
    root.mkdir()
    descriptor = os.open(root, os.O_RDONLY)
    (flags,) = struct.unpack("l", fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("l", 0)))
    fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("l", flags | _NO_ACCESS_TIME))
    os.close(descriptor)
    cache = LocalNodeCache(tmp_path / "other", store=house.store)
    blind = LocalWorkspaces(root, cache=cache, uid=STAGE_UID, gid=STAGE_UID)
    assert house.workspaces.sees_reads
    assert not blind.sees_reads
    assert asyncio.run(blind.find_read(root / ATTEMPT, [ProjectPath("a")])) is None
    blind.close()
    cache.close()


def _wait_for_another_instant(folder: Path) -> None:
    """Until the file system's clock, which is coarse, has gone on."""
    (folder / "clock").write_bytes(b"")
    before = (folder / "clock").stat().st_mtime_ns
    while (folder / "clock").stat().st_mtime_ns == before:
        (folder / "clock").write_bytes(b"")
