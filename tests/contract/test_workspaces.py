"""Workspaces: what a stage finds, what it cannot harm, and what is taken from what it leaves."""

import asyncio
import hashlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.engine_fixtures import STAGE_UID, Bench, bench, engine
from tests.fakes.object_store import FakeObjectStore

from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.workspaces_local import LocalWorkspaces
from wherry.service.domain.blob import BlobHash, hash_content, object_key
from wherry.service.domain.errors import BlobMissing, InvalidInput, PathEscapes
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.task import AttemptId, InputData
from wherry.service.domain.tree import Tree, TreeEntry
from wherry.service.ports.workspaces import CollectedOutput, OutputUnusable

__all__ = ["bench", "engine"]

ATTEMPT = AttemptId("a1")
REPOSITORY = Path(__file__).parents[2]


@dataclass
class House:
    """Workspaces on a cache on a store, and short words for using them."""

    store: FakeObjectStore
    cache: LocalNodeCache
    workspaces: LocalWorkspaces
    root: Path
    made: list[Path] = field(default_factory=list)

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

    def collect(self, *outputs: str) -> tuple[CollectedOutput, ...]:
        paths = [ProjectPath(output) for output in outputs]
        return asyncio.run(self.workspaces.collect(self.root / ATTEMPT, paths))

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
    asyncio.run(workspaces.remove_all())
    assert list(root.iterdir()) == []
    workspaces.close()
    cache.close()


@pytest.fixture
def workspace(house: House) -> Path:
    return house.lay_out()


def data(path: str, name: BlobHash, *, executable: bool = False) -> InputData:
    return InputData(project_path=ProjectPath(path), hash=name, executable=executable)


def mode_of(path: Path) -> str:
    return f"{stat.S_IMODE(path.lstat().st_mode):o}"


def listing(tree: Tree | None) -> list[str]:
    assert tree is not None
    return [entry.path for entry in tree.entries]


# --- laying out


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
    asyncio.run(house.workspaces.remove_all())
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
    spec = bench.spec(attack)
    ran = asyncio.run(bench.run(type(spec)(**{**_fields(spec), "workspace": workspace})))
    # Of its own files a stage that runs as the service's user may do all this; the node's it never has.
    if os.geteuid() != STAGE_UID:
        assert ran.stdout == b"evil\nevil\n"
    for blob, content in ((name, b"precious"), (hash_content(b"treasure"), b"treasure")):
        node = asyncio.run(house.cache.path(blob))
        assert node.read_bytes() == content
        assert mode_of(node) == "444"
        assert node.stat().st_uid == os.geteuid()
    assert asyncio.run(house.cache.read(name, limit_bytes=100)) == b"precious"


def _fields(spec: object) -> dict[str, object]:
    return {name: getattr(spec, name) for name in spec.__slots__}  # type: ignore[attr-defined]


def test_what_a_stage_made_can_be_collected_adopted_and_not_written_by_the_next(
    house: House, bench: Bench
) -> None:
    workspace = house.lay_out()
    spec = bench.spec("echo made >out; chmod 777 out")
    asyncio.run(bench.run(type(spec)(**{**_fields(spec), "workspace": workspace})))
    (output,) = house.collect("out")
    asyncio.run(house.cache.adopt(output.files[0].digest.hash, output.files[0].source))
    asyncio.run(house.workspaces.remove(workspace))
    workspace = house.lay_out(data=[data("in", output.files[0].digest.hash)])
    spec = bench.spec("chmod 666 in; echo changed >in; cat in")
    asyncio.run(bench.run(type(spec)(**{**_fields(spec), "workspace": workspace})))
    assert asyncio.run(house.cache.read(output.files[0].digest.hash, limit_bytes=100)) == b"made\n"


# --- collecting


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
    house: House, workspace: Path, mode: int, executable: bool
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
    dvc = REPOSITORY / ".venv-dvc" / "bin" / "dvc"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DVC_NO_ANALYTICS": "1"}
    subprocess.run(["cp", "-a", folder, repository / "out"], check=True)
    for command in (["init", "--no-scm", "-q"], ["add", "-q", "out"]):
        subprocess.run([dvc, *command], cwd=repository, env=environment, check=True, capture_output=True)
    text = (repository / "out.dvc").read_text()
    return text.partition("md5: ")[2].split()[0]


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


# --- removing


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


def test_removal_by_an_unprivileged_service_overcomes_forbidding_modes(tmp_path: Path) -> None:
    program = f"""
import os, sys
os.geteuid() == 0 and (os.setgid({STAGE_UID}), os.setuid({STAGE_UID}))
from pathlib import Path
from wherry.service.adapters.folder_removal import remove_folder
folder = Path(sys.argv[1])
(folder / "a/b/c").mkdir(parents=True)
(folder / "a/b/file").write_text("x")
for name in ("a/b/c", "a/b", "a", "."):
    (folder / name).chmod(0)
remove_folder(folder)
print(folder.exists())
"""
    home = tmp_path / "home"
    (home / "workspace").mkdir(parents=True)
    for path in (home, home / "workspace"):
        os.chown(path, STAGE_UID, STAGE_UID)
    for path in (tmp_path, *tmp_path.parents):
        if not path.stat().st_mode & stat.S_IXOTH:
            path.chmod(path.stat().st_mode | stat.S_IXOTH)
    ran = subprocess.run(
        [sys.executable, "-c", program, home / "workspace"], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == ("False\n", "")


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
    asyncio.run(house.workspaces.remove_all())
    assert list(house.root.iterdir()) == []
