"""Folders hash the same however their content came to stand there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.domain.dvc.view import PlacedData, ProjectView
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.tree import Tree, TreeEntry

_Contents = dict[str, bytes]


def _snapshot(contents: _Contents) -> dict[ProjectPath, SnapshotFile]:
    return {
        ProjectPath(path): SnapshotFile(hash=hash_content(data), size_bytes=len(data))
        for path, data in contents.items()
    }


def _below(contents: _Contents, folder: str) -> _Contents:
    return {path[len(folder) + 1 :]: data for path, data in contents.items() if path.startswith(folder + "/")}


def _tree(contents: _Contents) -> Tree:
    return Tree.of(TreeEntry(path, hash_content(data)) for path, data in contents.items())


def _placed(contents: _Contents) -> PlacedData:
    return PlacedData(
        hash=_tree(contents).digest().hash, total_bytes=sum(map(len, contents.values())), nfiles=len(contents)
    )


def _view(files: _Contents, trees: dict[str, _Contents]) -> ProjectView:
    loaded = {_tree(contents).digest().hash: _tree(contents) for contents in trees.values()}
    sizes = {hash_content(data): len(data) for contents in trees.values() for data in contents.values()}
    placed = {ProjectPath(path): _placed(contents) for path, contents in trees.items()}
    return ProjectView(files=_snapshot(files), placed=placed, trees=loaded, sizes=sizes)


# Names of equal beginning sort differently as paths and as strings.
_NAMES = st.sampled_from(["a", "b", "b-c", "b.txt", "c", "é"])
_PROJECTS = st.dictionaries(
    st.lists(_NAMES, min_size=1, max_size=4).map("/".join), st.binary(max_size=3), min_size=1, max_size=8
).filter(
    lambda files: not any(one != other and other.startswith(one + "/") for one in files for other in files)
)


@given(_PROJECTS, st.data())
def test_a_path_resolves_the_same_from_files_and_from_placed_folders(
    files: _Contents, data: st.DataObject
) -> None:
    folders = sorted({path.rsplit("/", 1)[0] for path in files if "/" in path})
    chosen = data.draw(st.lists(st.sampled_from(folders), unique=True) if folders else st.just([]))
    tracked = {
        folder: _below(files, folder)
        for folder in chosen
        if not any(folder.startswith(o + "/") for o in chosen)
    }
    rest = {
        path: content for path, content in files.items() if not any(path.startswith(f + "/") for f in tracked)
    }
    plain, mixed = _view(files, {}), _view(rest, tracked)
    paths = {ROOT, *files} | {path[:at] for path in files for at, sign in enumerate(path) if sign == "/"}
    for path in map(ProjectPath, paths):
        assert mixed.resolve("w", path) == plain.resolve("w", path)


@given(_PROJECTS)
def test_what_is_said_to_be_needed_is_enough(files: _Contents) -> None:
    folder = ProjectPath("top")
    contents = {f"sub/{path}": data for path, data in files.items()}
    full = _view({}, {"top/in": contents})
    for path in (
        folder,
        ROOT,
        ProjectPath("top/in"),
        ProjectPath("top/in/sub"),
        *(f"top/in/{p}" for p in contents),
    ):
        where = ProjectPath(path)
        bare = ProjectView(files={}, placed=full.placed)
        trees = {name: full.trees[name] for name in bare.trees_needed(where)}
        with_trees = ProjectView(files={}, placed=full.placed, trees=trees)
        sizes = {name: full.sizes[name] for name in with_trees.sizes_needed(where)}
        loaded = ProjectView(files={}, placed=full.placed, trees=trees, sizes=sizes)
        assert loaded.resolve("w", where) == full.resolve("w", where) != None  # noqa: E711 - both, and something


def test_a_folder_has_the_hash_that_dvc_computed() -> None:
    entry = _view({"d/sub/y": b"yo\n", "d/x.txt": b"hi\n"}, {}).resolve("d/", ProjectPath("d"))
    assert entry is not None
    assert (entry.path, entry.hash) == ("d/", "f830d7cefb75c4c99a62fd065ba96314.dir")
    assert (entry.size_bytes, entry.nfiles, entry.executable) == (6, 2, False)


def test_placed_data_wins_over_snapshot_files() -> None:
    view = _view({"d/old": b"old", "d/x": b"stale", "e": b"1"}, {"d": {"x": b"new"}})
    inside = view.resolve("w", ProjectPath("d/x"))
    assert inside is not None
    assert inside.hash == hash_content(b"new")
    assert view.resolve("w", ProjectPath("d/old")) is None
    expected = _view({"d/x": b"new", "e": b"1"}, {}).resolve("w", ROOT)
    assert view.resolve("w", ROOT) == expected


def test_a_placed_file_has_nothing_inside() -> None:
    data = PlacedData(hash=hash_content(b"1"), total_bytes=1, executable=True)
    view = ProjectView(files={}, placed={ProjectPath("f"): data})
    entry = view.resolve("w", ProjectPath("f"))
    assert entry is not None
    assert entry.executable
    assert view.resolve("w", ProjectPath("f/x")) is None
    assert view.trees_needed(ProjectPath("f/x")) == frozenset()


def test_names_that_only_begin_alike_are_not_inside() -> None:
    view = _view({"d-x": b"1", "d.y": b"2", "dd/z": b"3"}, {})
    assert view.resolve("w", ProjectPath("d")) is None


def test_an_empty_placed_folder_is_a_folder() -> None:
    entry = _view({}, {"d": {}}).resolve("w", ProjectPath("d"))
    assert entry is not None
    assert (entry.hash, entry.nfiles) == (BlobHash("d751713988987e9331980363e24189ce.dir"), 0)


def test_folders_of_dvc_and_git_are_not_part_of_a_folder() -> None:
    plain = {"d/x": b"1", "d/y.dvc": b"2", "d/.gitignore": b"3"}
    # A folder that holds a `.dvc` folder is a project of its own.
    ignored = {"d/n/.dvc/config": b"4", "d/n/f": b"7", "d/.git/HEAD": b"5", "d/s/.hg/x": b"6"}
    assert _view({**plain, **ignored}, {}).resolve("w", ProjectPath("d")) == _view(plain, {}).resolve(
        "w", ProjectPath("d")
    )


def test_a_folder_with_a_dvcignore_is_refused_as_dvc_refuses_it() -> None:
    with pytest.raises(PipelineInvalid) as caught:
        _view({"d/s/.dvcignore": b"", "d/x": b""}, {}).resolve("w", ProjectPath("d"))
    assert str(caught.value.place) == "d/s/.dvcignore"
