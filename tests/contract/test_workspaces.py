"""Workspaces: what a stage finds, what it cannot harm, and that nothing stays behind."""

import asyncio
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine_fixtures import STAGE_UID, Bench, bench, engine
from tests.workspace_fixtures import House, data, house, remove_all, workspace
from wherry.service.domain.blob import hash_content
from wherry.service.domain.errors import BlobMissing, InvalidInput, PathEscapes
from wherry.service.domain.task import AttemptId

__all__ = ["bench", "engine", "house", "workspace"]


def mode_of(path: Path) -> str:
    return f"{stat.S_IMODE(path.lstat().st_mode):o}"


def test_the_projects_files_are_the_stages_own(house: House) -> None:
    workspace = house.lay_out(
        {
            "a.py": house.file(b"code"),
            "bin/run": house.file(b"#!", executable=True),
            "empty": house.file(b""),
        },
        folders=["out/deep", "."],
    )
    assert (workspace / "a.py").read_bytes() == b"code"
    assert (workspace / "empty").read_bytes() == b""
    modes = {path: mode_of(workspace / path) for path in (".", "a.py", "bin", "bin/run", "out", "out/deep")}
    assert modes == {
        ".": "700",
        "a.py": "644",
        "bin": "755",
        "bin/run": "755",
        "out": "755",
        "out/deep": "755",
    }
    assert {(workspace / path).stat().st_uid for path in modes} == {STAGE_UID}
    assert (workspace / "a.py").stat().st_nlink == 1


def test_inputs_are_read_only_and_share_the_nodes_copy_when_the_stage_is_somebody_else(house: House) -> None:
    name = house.keep(b"numbers")
    tree = house.keep_tree({"x/1": b"one", "2": b"two"})
    workspace = house.lay_out(
        data=[data("in.csv", name), data("tool", name, executable=True), data("images", tree)]
    )
    assert mode_of(workspace / "in.csv") == "444"
    assert mode_of(workspace / "tool") == "555"
    assert mode_of(workspace / "images/x/1") == "444"
    assert (workspace / "images/2").read_bytes() == b"two"
    node = asyncio.run(house.cache.path(name))
    assert mode_of(node) == "444"
    assert (workspace / "in.csv").samefile(node) == (os.geteuid() != STAGE_UID)
    assert not (workspace / "tool").samefile(node)
    assert (workspace / "images/x").stat().st_uid == STAGE_UID


def test_what_a_persistent_output_was_is_the_stages_own(house: House) -> None:
    name, tree = house.keep(b"so far"), house.keep_tree({"x/1": b"one"})
    workspace = house.lay_out(
        data=[
            data("log", name, writable=True),
            data("tool", name, executable=True, writable=True),
            data("models", tree, writable=True),
        ]
    )
    assert [mode_of(workspace / path) for path in ("log", "tool", "models/x/1")] == ["644", "755", "644"]
    assert {(workspace / path).stat().st_uid for path in ("log", "models", "models/x/1")} == {STAGE_UID}
    (workspace / "log").write_bytes(b"more")
    assert asyncio.run(house.cache.path(name)).read_bytes() == b"so far"


def test_an_input_inside_an_input_and_an_empty_tree_are_laid_out(house: House) -> None:
    tree = house.keep_tree({"a": b"one", "b": b"two"})
    workspace = house.lay_out(
        {"data/.gitignore": house.file(b"/a\n")},
        data=[data("data", tree), data("data/a", house.keep(b"one")), data("nothing", house.keep_tree({}))],
    )
    assert sorted(path.name for path in (workspace / "data").iterdir()) == [".gitignore", "a", "b"]
    assert list((workspace / "nothing").iterdir()) == []


def test_more_files_than_one_thread_takes_are_all_there(house: House) -> None:
    files = {f"d{number % 7}/f{number}": house.file(b"%d" % number) for number in range(1500)}
    workspace = house.lay_out(files)
    assert all(
        (workspace / f"d{number % 7}/f{number}").read_bytes() == b"%d" % number for number in range(1500)
    )


def test_a_blob_that_the_store_lacks_is_named(house: House) -> None:
    lacking = hash_content(b"never stored")
    with pytest.raises(BlobMissing, match=lacking):
        house.lay_out(data=[data("x", lacking), data("y", house.keep(b"there"))])


@pytest.mark.parametrize("path", ["../escape", "/etc/passwd", "a/../../b", "a//b"])
def test_nothing_is_laid_out_outside_of_the_workspace(house: House, path: str) -> None:
    with pytest.raises(PathEscapes):
        house.lay_out({path: house.file(b"x")})
    with pytest.raises(FileExistsError):  # the workspace was made, once
        house.lay_out(folders=[path])
    asyncio.run(remove_all(house.workspaces))
    with pytest.raises(PathEscapes):
        house.lay_out(folders=[path])


def test_a_path_that_is_a_file_and_a_folder_is_named(house: House) -> None:
    with pytest.raises(InvalidInput, match="'a'"):
        house.lay_out({"a": house.file(b"x"), "a/b": house.file(b"y")})


def test_a_stage_cannot_harm_the_nodes_copy(house: House, bench: Bench) -> None:
    name = house.keep(b"precious")
    tree = house.keep_tree({"member": b"treasure"})
    inputs = [data("in.csv", name), data("other.csv", name), data("folder", tree)]
    workspace = house.lay_out(data=inputs)
    attack = """
    for file in in.csv folder/member; do
      chmod 666 $file && echo chmod; chown $(id -u) $file && echo chown
      (echo x >$file) && echo write; (echo x >>$file) && echo append; truncate -s 0 $file && echo truncate
      python3 -c "import os; os.utime('$file', (0, 0))" && echo utime
      python3 -c "import os; os.setxattr('$file', 'user.x', b'y')" && echo setxattr
      ln $file linked; echo x >linked; rm -f linked
    done
    echo evil >new; mv -f new in.csv; rm -f other.csv folder/member; echo evil >folder/member
    cat in.csv folder/member
    """
    ran = asyncio.run(bench.run(replace(bench.spec(attack), workspace=workspace)))
    # Of its own files a stage that runs as the service's user may do all this; the node's it never has.
    if os.geteuid() != STAGE_UID:
        assert ran.stdout == b"evil\nevil\n"
    for blob, content in ((name, b"precious"), (hash_content(b"treasure"), b"treasure")):
        node = asyncio.run(house.cache.path(blob))
        assert node.read_bytes() == content
        assert mode_of(node) == "444"
        assert node.stat().st_uid == os.geteuid()
    assert asyncio.run(house.cache.read(name, limit_bytes=100)) == b"precious"


def test_what_a_stage_made_can_be_collected_adopted_and_not_written_by_the_next(
    house: House, bench: Bench
) -> None:
    workspace = house.lay_out()
    asyncio.run(bench.run(replace(bench.spec("echo made >out; chmod 777 out"), workspace=workspace)))
    (output,) = house.collect("out")
    asyncio.run(house.cache.adopt(output.files[0].digest.hash, output.files[0].source))
    asyncio.run(house.workspaces.remove(workspace))
    workspace = house.lay_out(data=[data("in", output.files[0].digest.hash)])
    asyncio.run(bench.run(replace(bench.spec("chmod 666 in; echo changed >in; cat in"), workspace=workspace)))
    assert asyncio.run(house.cache.read(output.files[0].digest.hash, limit_bytes=100)) == b"made\n"


def test_removal_copes_with_whatever_a_stage_left(house: House, workspace: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (workspace / "link").symlink_to(outside)
    (workspace / "sub").mkdir()
    (workspace / "sub/link").symlink_to(outside / "precious")
    os.mkfifo(workspace / "sub/pipe")
    Path(os.fsdecode(os.fsencode(workspace) + b"/sub/\xff\n")).mkdir()
    for name in ("sub", "."):
        (workspace / name).chmod(0)
    asyncio.run(house.workspaces.remove(workspace))
    asyncio.run(house.workspaces.remove(workspace))
    assert (outside / "precious").read_text() == "x"
    assert list(house.root.iterdir()) == []


_DIG = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(5000):
    os.mkdir("d"); os.chdir("d")
"""


def test_removal_copes_with_folders_deeper_than_any_path(house: House, workspace: Path) -> None:
    (workspace / "out").mkdir()
    subprocess.run([sys.executable, "-c", _DIG, workspace / "out"], check=True)
    assert "longer than" in house.refusal("out")
    asyncio.run(house.workspaces.remove(workspace))
    assert list(house.root.iterdir()) == []


_REMOVE_UNPRIVILEGED = """
import os, sys
from pathlib import Path
from wherry.service.adapters.folder_removal import remove_folder
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
folder = Path("workspace")
(folder / "a/b/c").mkdir(parents=True)
(folder / "a/b/file").write_text("x")
for name in ("a/b/c", "a/b", "a", "."):
    (folder / name).chmod(0)
remove_folder(folder)
print(os.geteuid(), folder.exists())
"""


def test_removal_by_an_unprivileged_service_overcomes_forbidding_modes(tmp_path: Path) -> None:
    os.chown(tmp_path, STAGE_UID, STAGE_UID)
    command = [sys.executable, "-c", _REMOVE_UNPRIVILEGED, str(tmp_path), str(STAGE_UID)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == (f"{STAGE_UID} False\n", "")


def test_only_workspaces_are_removed(house: House, tmp_path: Path) -> None:
    for path in (tmp_path, house.root, house.root / "a" / "b", Path("/"), house.root / ".."):
        with pytest.raises(ValueError, match="not a workspace"):
            asyncio.run(house.workspaces.remove(path))


@pytest.mark.parametrize("attempt", ["", "..", "a/b", "UPPER", "x" * 65])
def test_only_identifiers_name_workspaces(house: House, attempt: str) -> None:
    with pytest.raises(ValueError, match="attempt"):
        asyncio.run(house.workspaces.create(AttemptId(attempt)))


def test_what_an_earlier_life_left_is_removed(house: House) -> None:
    house.lay_out({"a/b": house.file(b"x")})
    (house.root / ".removed-1").mkdir()
    (house.root / "stray").write_text("x")
    asyncio.run(remove_all(house.workspaces))
    assert list(house.root.iterdir()) == []
