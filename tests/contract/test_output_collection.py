"""What is taken from what a stage leaves, and what is refused."""

import hashlib
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.dvc_program import run_dvc
from tests.workspace_fixtures import House, data, house, workspace
from wherry.service.domain.tree import Tree
from wherry.service.ports.workspaces import OutputUnusable

__all__ = ["house", "workspace"]


def listing(tree: Tree | None) -> list[str]:
    assert tree is not None
    return [entry.path for entry in tree.entries]


def test_a_file_is_hashed_twice_over(house: House, workspace: Path) -> None:
    content = os.urandom(3_000_000)
    (workspace / "model").write_bytes(content)
    (output,) = house.collect("model")
    (file,) = output.files
    assert file.digest.hash == hashlib.md5(content).hexdigest()
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert file.source == workspace / "model"
    assert (output.total_bytes, output.tree, output.executable) == (3_000_000, None, False)


@pytest.mark.parametrize(
    ("mode", "executable"), [(0o644, False), (0o755, True), (0o611, True), (0o604, False)]
)
def test_any_execute_bit_makes_a_file_executable(
    house: House, workspace: Path, mode: int, *, executable: bool
) -> None:
    (workspace / "tool").write_bytes(b"")
    (workspace / "tool").chmod(mode)
    assert house.collect("tool")[0].executable is executable


def test_outputs_come_in_the_order_asked_for(house: House, workspace: Path) -> None:
    for name in "abc":
        (workspace / name).write_text(name)
    assert [output.project_path for output in house.collect("c", "a", "b")] == ["c", "a", "b"]


def test_a_folder_has_the_hash_that_dvc_gives_it(house: House, workspace: Path, tmp_path: Path) -> None:
    folder = workspace / "out"
    for path in ("b-c", "b.txt", "b/c", 'ünï/\U0001f600 "q".txt', "empty/.keep"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    (folder / "nothing").mkdir()
    (folder / "nested/.dvc").mkdir(parents=True)
    (folder / "nested/hidden").write_text("x")
    (folder / ".git").write_text("gitdir: elsewhere")
    (folder / ".hg").mkdir()
    (folder / ".hg/store").write_text("x")
    (folder / "b/.git").mkdir()
    (folder / "b/.git/config").write_text("x")
    (folder / "file link").symlink_to("b.txt")
    (folder / "folder link").symlink_to("b")
    (output,) = house.collect("out")
    assert output.tree is not None
    assert output.tree.digest().hash == _hash_by_dvc(folder, tmp_path)
    assert listing(output.tree) == [
        "b-c",
        "b.txt",
        "b/c",
        "empty/.keep",
        "file link",
        'ünï/\U0001f600 "q".txt',
    ]
    assert [file.source.read_bytes() for file in output.files][4] == b"b.txt"
    assert output.files[4].source == folder / "b.txt"


def _hash_by_dvc(folder: Path, tmp_path: Path) -> str:
    """Ask real DVC, in a repository of its own around the folder."""
    repository = tmp_path / "repository"
    repository.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DVC_NO_ANALYTICS": "1"}
    subprocess.run(["cp", "-a", folder, repository / "out"], check=True)
    for command in (["init", "--no-scm", "-q"], ["add", "-q", "out"]):
        run_dvc(*command, cwd=repository, env=environment).check_returncode()
    text = (repository / "out.dvc").read_text()
    return text.partition("md5: ")[2].split()[0]


def test_a_file_is_text_by_its_beginning_as_dvc_reads_it(house: House, workspace: Path) -> None:
    for name, content in (("text", b"a" * 512 + b"\0" * 10), ("binary", b"a\0" + b"a" * 600), ("empty", b"")):
        (workspace / name).write_bytes(content)
    assert [output.files[0].textual for output in house.collect("text", "binary", "empty")] == [
        True,
        False,
        True,
    ]


def test_an_empty_folder_is_an_output(house: House, workspace: Path) -> None:
    (workspace / "out/sub").mkdir(parents=True)
    (output,) = house.collect("out")
    assert output.tree is not None
    assert output.tree.digest().hash == "d751713988987e9331980363e24189ce.dir"
    assert (output.total_bytes, output.files) == (0, ())


def test_an_output_that_is_missing_is_named(house: House, workspace: Path) -> None:
    (workspace / "file").write_text("x")
    assert house.refusal("metrics.json") == "output 'metrics.json' does not exist"
    assert house.refusal("no/such/path") == "output 'no/such/path' does not exist"
    assert house.refusal("file/below") == "output 'file/below' does not exist"


@pytest.mark.parametrize(
    "target", ["real/file", "./real/../real/file", "/workspace/real/file", "//workspace/./real/file", "chain"]
)
def test_links_inside_of_the_workspace_are_followed_as_the_container_sees_them(
    house: House, workspace: Path, target: str
) -> None:
    (workspace / "real").mkdir()
    (workspace / "real/file").write_text("content")
    (workspace / "chain").symlink_to("real/second")
    (workspace / "real/second").symlink_to("../../workspace/real/file")
    (workspace / "out").symlink_to(target)
    (workspace / "folder").symlink_to("/workspace/real")
    assert house.collect("out")[0].files[0].source == workspace / "real/file"
    assert house.collect("folder/file")[0].files[0].source == workspace / "real/file"
    assert listing(house.collect("folder")[0].tree) == ["file", "second"]


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "../../../../../etc/passwd",
        "../a1/real",  # by the host's name for the workspace
        "/workspace/../etc/passwd",
        "/workspaces/x",
        "/proc/self/root/etc/passwd",
        "/",
        "..",
        "real/../../etc",
    ],
)
def test_links_out_of_the_workspace_are_refused_by_name(house: House, workspace: Path, target: str) -> None:
    (workspace / "real").mkdir()
    (workspace / "link").symlink_to(target)
    (workspace / "real/member").symlink_to(target if target.startswith("/") else "../" + target)
    (workspace / "passing").symlink_to("real/member")
    for output in ("link", "real", "link/passwd", "passing"):
        refusal = house.refusal(output)
        assert "leads out of the workspace" in refusal
        assert repr(output)[1:-1] in refusal


def test_a_link_to_the_hosts_path_of_the_workspace_is_refused(house: House, workspace: Path) -> None:
    (workspace / "file").write_text("x")
    (workspace / "link").symlink_to(workspace / "file")
    assert "leads out of the workspace" in house.refusal("link")


def test_links_that_lead_nowhere_or_in_a_circle_are_named(house: House, workspace: Path) -> None:
    (workspace / "broken").symlink_to("missing")
    (workspace / "circle").symlink_to("circle")
    (workspace / "out").mkdir()
    (workspace / "out/broken").symlink_to("gone")
    assert house.refusal("broken") == "'broken' is or goes through a link to 'missing', which does not exist"
    assert (
        house.refusal("circle") == "'circle' is or goes through a link to 'circle', which leads in a circle"
    )
    assert house.refusal("out") == "'out/broken' is or goes through a link to 'gone', which does not exist"


def test_sockets_pipes_and_devices_are_refused_by_name(
    house: House, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "out").mkdir()
    os.mkfifo(workspace / "out/pipe")
    assert house.refusal("out") == "'out/pipe' is a named pipe: only files and folders can be kept"
    assert house.refusal("out/pipe").startswith("'out/pipe' is a named pipe")
    (workspace / "link").symlink_to("out/pipe")
    assert house.refusal("link").startswith("'link' is a named pipe")
    monkeypatch.chdir(workspace)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert house.refusal("socket").startswith("'socket' is a socket")
    if os.geteuid() == 0:
        os.mknod(workspace / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        assert house.refusal("device").startswith("'device' is a device")


def test_a_dvcignore_in_an_output_is_refused_as_dvc_does(house: House, workspace: Path) -> None:
    (workspace / "out/sub").mkdir(parents=True)
    (workspace / "out/sub/.dvcignore").write_text("*")
    assert ".dvcignore" in house.refusal("out")


def test_names_that_are_not_utf8_are_refused(house: House, workspace: Path) -> None:
    (workspace / "out").mkdir()
    Path(os.fsdecode(os.fsencode(workspace) + b"/out/\xff")).write_text("x")
    refusal = house.refusal("out")
    assert "not UTF-8" in refusal
    assert refusal.encode()  # fit for a message on the wire


def test_a_hard_link_to_an_input_is_an_output(house: House) -> None:
    name = house.keep(b"numbers")
    workspace = house.lay_out(data=[data("in", name)])
    os.link(workspace / "in", workspace / "out")
    assert house.collect("out")[0].files[0].digest.hash == name


def test_what_dvcignore_hides_is_no_part_of_a_folder(house: House) -> None:
    workspace = house.lay_out()
    for name in ("out/kept", "out/a.log", "out/skip/inside", "out/sub/a.log", "out/sub/b"):
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)

    (output,) = house.collect(
        "out", patterns={".dvcignore": "*.log\nskip/\n", "out/sub/.dvcignore": "!a.log\n"}
    )

    assert listing(output.tree) == ["kept", "sub/a.log", "sub/b"]


def test_a_folder_that_dvcignore_hides_is_no_output(house: House) -> None:
    (house.lay_out() / "out").mkdir()

    with pytest.raises(OutputUnusable, match="ignored"):
        house.collect("out", patterns={".dvcignore": "out/\n"})
