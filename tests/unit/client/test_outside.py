"""Above the DVC root a service can have what is in the git working tree, and nothing else of this machine."""

import subprocess
from pathlib import Path

import pytest

from wherry.client.data import look_up
from wherry.client.errors import FileTrouble, ProtocolBroken
from wherry.client.hashing import Hasher
from wherry.client.ignore import IgnoreRules
from wherry.client.memory import StateMemory
from wherry.client.paths import place_inside
from wherry.client.project import find_project

_LEVELS = 2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A DVC root two folders below the top of a git working tree, which lies below a private folder."""
    root = tmp_path / "home/repository/sub/project"
    (root / ".dvc").mkdir(parents=True)
    _write(tmp_path / "home", {"secret": "s", "keys/id": "k"})
    _write(
        tmp_path / "home/repository",
        {
            ".git/config": "token",
            "lib.py": "lib",
            "shared/a": "a",
            "shared/deep/b.pyc": "b",
            ".dvcignore": "*",
            "shared/.dvcignore": "*",
            "sub/other/.dvc/config.local": "password",
            "sub/other/data": "d",
        },
    )
    return root


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _look(root: Path, path: str, levels: int = _LEVELS) -> tuple[bool, set[str]]:
    """Whether a file is there, and the members of a folder."""
    hasher = Hasher(StateMemory(root / ".dvc/state.db"))
    found = look_up(root, path, IgnoreRules(root), hasher, levels=levels)
    return found.file is not None, set(found.tree.members) if found.tree is not None else set()


def test_files_and_folders_of_the_working_tree_are_seen_whatever_is_ignored(root: Path) -> None:
    assert _look(root, "../../lib.py") == (True, set())
    assert _look(root, "../../shared/a") == (True, set())
    assert _look(root, "../other/data") == (True, set())
    assert _look(root, "../../shared") == (False, {"a", "deep/b.pyc", ".dvcignore"})
    assert _look(root, "../nothing") == (False, set())


@pytest.mark.parametrize(
    "path",
    [
        *("../../../secret", "../../../keys", "../../..", "../..", "..", "../../../repository/lib.py"),
        *(
            "../../.git/config",
            "../../.GIT/config",
            "../other/.dvc/config.local",
            "../other/.DVC/config.local",
        ),
        *(
            "../shared/../../../secret",
            "shared/../../x",
            "../../../../etc/passwd",
            "/etc/passwd",
            "../",
            "..//x",
        ),
    ],
)
def test_nothing_else_of_the_machine_is_read_or_written(root: Path, path: str) -> None:
    with pytest.raises(ProtocolBroken):
        _look(root, path)
    with pytest.raises(ProtocolBroken):
        place_inside(root, path, _LEVELS)


@pytest.mark.parametrize("path", ["../other/data", "../../lib.py"])
def test_outside_git_nothing_above_the_root_is_read_or_written(root: Path, path: str) -> None:
    with pytest.raises(ProtocolBroken):
        _look(root, path, levels=0)
    with pytest.raises(ProtocolBroken):
        place_inside(root, path)


@pytest.mark.parametrize(
    "target", ["../../secret", "../../keys", "../.git", "../.git/config", "../sub/other/.dvc"]
)
def test_a_link_does_not_lead_out_of_the_working_tree_nor_to_a_private_folder(
    root: Path, target: str
) -> None:
    shared = root / "../../shared"
    (shared / "link").symlink_to(target)
    assert (shared / "link").exists()

    with pytest.raises(ProtocolBroken):
        _look(root, "../../shared/link")
    if (shared / "link").is_file():
        with pytest.raises(ProtocolBroken):
            _look(root, "../../shared")
    else:
        # DVC does not follow links to folders inside a folder.
        assert _look(root, "../../shared")[1] == {"a", "deep/b.pyc", ".dvcignore"}
        with pytest.raises(ProtocolBroken):
            place_inside(root, "../../shared/link/new", _LEVELS)


def test_a_link_within_the_working_tree_is_followed(root: Path) -> None:
    (root / "../../shared/link").symlink_to("../lib.py")
    assert _look(root, "../../shared/link") == (True, set())
    assert "link" in _look(root, "../../shared")[1]


def test_a_folder_that_holds_private_files_is_refused_as_a_whole(root: Path) -> None:
    with pytest.raises(FileTrouble, match="stays on this machine"):
        _look(root, "../other")


def test_the_levels_are_those_of_git(root: Path) -> None:
    repository = root / "../.."
    assert find_project(root, {}).levels == _LEVELS
    (repository / ".git/config").unlink()
    (repository / ".git").rmdir()
    assert find_project(root, {}).levels == 0
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    assert find_project(root, {}).levels == 0
