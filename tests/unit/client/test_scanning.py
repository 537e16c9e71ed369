import os
import subprocess
from pathlib import Path

import pytest

from wherry.client.data import look_up, tree_content, tree_hash
from wherry.client.errors import FileTrouble, ProtocolBroken
from wherry.client.hashing import Hasher
from wherry.client.ignore import IgnoreRules
from wherry.client.memory import StateMemory
from wherry.client.project import find_project, read_commit
from wherry.client.scanning import Scan, scan_project


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    (root / ".dvc").mkdir(parents=True)
    return root


def scan(root: Path, memory: StateMemory | None = None) -> Scan:
    project = find_project(root, {})
    hasher = Hasher(memory or StateMemory(root / ".dvc" / "tmp" / "wherry" / "state.db"))
    return scan_project(project, IgnoreRules(project.root), hasher)


FILES = {
    "dvc.yaml": "stages: {}",
    "src/a.py": "1",
    ".dvc/config": "[core]\n",
    ".dvc/config.local": "secret",
    ".dvc/wherry.local.toml": "",
    ".dvc/tmp/x": "",
    ".dvc/cache/files/md5/aa": "",
}
OWN = {"dvc.yaml", "src/a.py", ".dvc/config"}


def test_a_git_project_is_tracked_and_untracked_files_but_no_ignored_and_no_deleted_ones(root: Path) -> None:
    git(root, "init", "-q")
    write(root, {**FILES, ".gitignore": "ignored\n", "ignored": "", "deleted": "", "tracked": ""})
    git(root, "add", "-f", ".")
    git(root, "rm", "-q", "--cached", "ignored")
    (root / "deleted").unlink()
    write(root, {"new ünï\nfile": "x"})
    assert set(scan(root).files) == {*OWN, ".gitignore", "tracked", "new ünï\nfile"}


def test_a_project_below_the_git_root_has_paths_from_the_dvc_root(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, {"outside.txt": "", **{f"sub/project/{name}": text for name, text in FILES.items()}})
    assert set(scan(tmp_path / "sub" / "project" / "src").files) == OWN


def test_without_git_the_folder_is_walked(root: Path) -> None:
    write(root, FILES)
    assert set(scan(root).files) == OWN


def test_without_git_tracked_data_is_left_to_be_asked_for(root: Path) -> None:
    files = {"dvc.yaml": "", "data.dvc": "", "d/one.bin.dvc": "", "d/other": ""}
    write(root, {**files, "data/a": "a", "data/sub/b": "b", "d/one.bin": "1"})
    assert set(scan(root).files) == set(files)


@pytest.mark.parametrize("with_git", [True, False])
def test_dvcignore_files_decide_the_deeper_one_last(root: Path, *, with_git: bool) -> None:
    if with_git:
        git(root, "init", "-q")
    write(
        root,
        {
            "dvc.yaml": "",
            ".dvcignore": "# comment\n*.log\n/top\nbuild/\n",
            "a.log": "",
            "top": "",
            "sub/top": "",
            "build/x": "",
            "sub/.dvcignore": "!keep.log\nlocal\n",
            "sub/keep.log": "",
            "sub/other.log": "",
            "sub/local": "",
            "local": "",
        },
    )
    assert set(scan(root).files) == {
        "dvc.yaml",
        ".dvcignore",
        "sub/top",
        "sub/.dvcignore",
        "sub/keep.log",
        "local",
    }


def test_a_pipe_is_left_out_with_a_warning_and_an_empty_folder_without(root: Path) -> None:
    write(root, FILES)
    (root / "empty").mkdir()
    os.mkfifo(root / "pipe")

    found = scan(root)

    assert set(found.files) == OWN
    assert found.warnings == ["left out: pipe is neither a file nor a folder"]


def test_a_submodule_is_left_out_with_a_warning(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    write(other, {"x": ""})
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "x")
    git(root, "init", "-q")
    git(root, "submodule", "add", "-q", str(other), "module")
    found = scan(root)
    assert set(found.files) == {".gitmodules"}
    assert "module" in found.warnings[0]


def test_links_inside_travel_by_content_and_links_out_are_an_error(root: Path, tmp_path: Path) -> None:
    write(root, {"real/a": "content", "real/sub/b": "b"})
    (root / "file").symlink_to("real/a")
    (root / "folder").symlink_to("real")
    (root / "broken").symlink_to("nothing")
    found = scan(root)
    assert set(found.files) == {"real/a", "real/sub/b", "file", "folder/a", "folder/sub/b"}
    assert found.files["file"].md5 == found.files["real/a"].md5
    assert ["broken" in warning for warning in found.warnings] == [True]
    (tmp_path / "secret").write_text("s")
    (root / "out").symlink_to("../secret")
    with pytest.raises(FileTrouble, match="out is a link that leads out of the project"):
        scan(root)


def test_a_dvc_config_with_a_secret_is_left_out(root: Path) -> None:
    write(root, {".dvc/config": "['remote \"s\"']\n    secret_access_key = x\n", "a": ""})
    found = scan(root)
    assert set(found.files) == {"a"}
    assert ".dvc/config holds a secret" in found.warnings[0]


def test_git_that_refuses_is_an_error_and_not_a_walk(root: Path) -> None:
    (root / ".git").write_text("gitdir: /nowhere\n")
    write(root, {".gitignore": "secret\n", "secret": "s"})
    with pytest.raises(FileTrouble, match="git ls-files failed"):
        scan(root)


def test_execute_bits_and_the_commit_are_seen(root: Path) -> None:
    git(root, "init", "-q")
    write(root, {"run.sh": "", "plain": ""})
    (root / "run.sh").chmod(0o755)
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "x")
    files = scan(root).files
    assert (files["run.sh"].executable, files["plain"].executable) == (True, False)
    commit = read_commit(find_project(root, {}))
    assert (len(commit.rev), commit.dirty) == (40, False)
    write(root, {"plain": "changed"})
    assert read_commit(find_project(root, {})).dirty


def test_two_clones_are_one_project(root: Path) -> None:
    git(root, "init", "-q")
    assert find_project(root, {}).name == "repo"
    git(root, "remote", "add", "origin", "git@example.org:team/churn.git")
    assert find_project(root, {}).name == "churn"
    (root / ".dvc" / "wherry.toml").write_text('project = "named"\n')
    assert find_project(root, {}).name == "named"
    assert find_project(root, {"WHERRY_PROJECT": "over"}).name == "over"


def age(file: Path, seconds: int = 3600) -> None:
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns - seconds * 10**9))


def test_an_unchanged_file_is_known_again_and_a_changed_one_is_not(root: Path) -> None:
    database = root / ".dvc" / "tmp" / "wherry" / "state.db"
    write(root, {"a": "one", "b": "one"})
    age(root / "a")
    age(root / "b", -3600)  # however long it takes to get to it
    memory = StateMemory(database)
    first = scan(root, memory).files
    memory.save()
    again = StateMemory(database)
    assert again.recall("a", first["a"].stamp) == first["a"].md5
    # Written a moment ago: a change within the same tick of the clock would not show.
    assert again.recall("b", first["b"].stamp) is None
    write(root, {"a": "two"})
    assert scan(root, again).files["a"].md5 != first["a"].md5


def test_a_corrupted_database_is_made_anew(root: Path) -> None:
    database = root / ".dvc" / "tmp" / "wherry" / "state.db"
    write(root, {"a": "one"})
    age(root / "a")
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database at all" * 1000)
    memory = StateMemory(database)
    file = scan(root, memory).files["a"]
    memory.save(asked=["data"])
    again = StateMemory(database)
    assert (again.recall("a", file.stamp), again.asked()) == (file.md5, ["data"])


def test_trees_are_named_as_dvc_names_them(root: Path) -> None:
    write(root, {"d/sub/y": "yo\n", "d/x.txt": "hi\n"})
    (root / "e").mkdir()
    hasher = Hasher(StateMemory(root / "state.db"))
    rules = IgnoreRules(root)
    data = look_up(root, "d", rules, hasher)
    assert data.tree is not None
    assert data.tree.content == (
        b'[{"md5": "f6255bb01c648fe967714d52a89e8e9c", "relpath": "sub/y"}, '
        b'{"md5": "764efa883dda1e11db47671c4a3bbd9e", "relpath": "x.txt"}]'
    )
    message = data.to_message()
    assert (message.digest.hash, message.total_bytes, message.nfiles) == (
        "f830d7cefb75c4c99a62fd065ba96314.dir",
        6,
        2,
    )
    assert (
        look_up(root, "e", rules, hasher).to_message().digest.hash == "d751713988987e9331980363e24189ce.dir"
    )
    assert not look_up(root, "nothing", rules, hasher).to_message().HasField("digest")
    file = look_up(root, "d/x.txt", rules, hasher).to_message()
    assert (file.digest.hash, file.nfiles) == ("764efa883dda1e11db47671c4a3bbd9e", 0)
    assert b"\\u00fc" in tree_content({"ü": "0" * 32})
    assert tree_hash(b"[]") == "d751713988987e9331980363e24189ce.dir"


def test_a_folder_of_data_takes_linked_files_not_linked_folders_and_nothing_ignored(root: Path) -> None:
    write(root, {".dvcignore": "*.tmp\n", "d/a": "a", "d/b.tmp": "", "d/.git/x": "", "other/c": "c"})
    (root / "d" / "link").symlink_to("../other/c")
    (root / "d" / "folder").symlink_to("../other")
    data = look_up(root, "d", IgnoreRules(root), Hasher(StateMemory(root / "state.db")))
    assert data.tree is not None
    assert set(data.tree.members) == {"a", "link"}


def test_a_folder_of_data_is_its_files_what_is_none_and_empty_folders_are_left_out(root: Path) -> None:
    write(root, {"d/a": "1\n"})
    (root / "d" / "hollow" / "inner").mkdir(parents=True)
    (root / "empty").mkdir()
    os.mkfifo(root / "d" / "pipe")
    os.mkfifo(root / "pipe")
    hasher = Hasher(StateMemory(root / "state.db"))

    folder, empty, pipe = (look_up(root, name, IgnoreRules(root), hasher) for name in ("d", "empty", "pipe"))

    assert folder.tree is not None
    assert set(folder.tree.members) == {"a"}, "and nobody has waited for the pipe"
    assert empty.tree is not None
    assert empty.tree.hash == "d751713988987e9331980363e24189ce.dir", "as DVC names it"
    assert (pipe.file, pipe.tree) == (None, None), "it is told as missing"


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", ".git/config", ".dvc/config.local", ""])
def test_the_service_cannot_ask_about_what_is_not_the_projects(root: Path, path: str) -> None:
    with pytest.raises(ProtocolBroken):
        look_up(root, path, IgnoreRules(root), Hasher(StateMemory(root / "state.db")))


def test_a_project_inside_a_data_folder_is_left_out_whole(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"d/a": "1\n", "d/sub/.dvc/config": "", "d/sub/f": "2\n", "d/marked/.dvc": "", "d/marked/g": "3\n"},
    )
    data = look_up(tmp_path, "d", IgnoreRules(tmp_path), Hasher(StateMemory(tmp_path / "state.db")))
    assert data.tree is not None
    assert data.tree.content == b'[{"md5": "b026324c6904b2a9cb4b88d6d61c81d1", "relpath": "a"}]'
