"""No path leads out of a project."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.service.domain.errors import PathEscapes
from wherry.service.domain.paths import (
    ROOT,
    PathSet,
    ProjectPath,
    Surroundings,
    is_inside_root,
    is_within,
    parse_project_path,
    parse_reachable_path,
    parse_surroundings,
    resolve_project_path,
)

PARTS = st.sampled_from(["a", "b", "a-b", "a.b", "..", ".", "", "c d"])
WRITTEN = st.lists(PARTS, min_size=1, max_size=6).map("/".join)
CLEAN = st.lists(st.sampled_from(["a", "b", "a-b", "a.b", "a b"]), min_size=1, max_size=4).map(
    lambda parts: ProjectPath("/".join(parts))
)


@given(CLEAN, WRITTEN)
def test_what_resolves_stays_inside(folder: ProjectPath, written: str) -> None:
    try:
        path = resolve_project_path(folder, written)
    except PathEscapes:
        return

    assert path == posixpath.normpath(path)
    assert not path.startswith(("/", "../"))
    assert path != ".."


@given(WRITTEN)
def test_only_canonical_paths_are_taken_from_the_wire(written: str) -> None:
    canonical = not {"", ".", ".."} & set(written.split("/"))

    if canonical:
        assert parse_project_path(written) == written
    else:
        with pytest.raises(PathEscapes):
            parse_project_path(written)


@given(st.lists(CLEAN, max_size=8), CLEAN)
def test_a_set_of_paths_agrees_with_looking_at_each(paths: list[ProjectPath], asked: ProjectPath) -> None:
    tested = PathSet(paths)

    assert tested.covers(asked) == any(is_within(asked, path) for path in paths)
    assert set(tested.below(asked)) == {path for path in paths if path != asked and is_within(path, asked)}
    assert set(tested.below(ROOT)) == set(paths)


_AROUND = Surroundings("/home/ana/repository/sub/project", 2)

_PARTS = st.lists(
    st.sampled_from(["..", ".", "a", "b", "sub", "project", "shared", "..a"]), min_size=1, max_size=8
)


@given(_PARTS, _PARTS, st.booleans())
def test_every_spelling_of_a_place_resolves_to_one_path(
    folder: list[str], written: list[str], absolute: bool
) -> None:
    root = _AROUND.root
    start = _AROUND.resolve(ROOT, "/".join(folder))
    text = ("/" if absolute else "") + "/".join(written)
    path = _AROUND.resolve(start, text)
    real = posixpath.normpath(posixpath.join(root, start, text))
    assert posixpath.normpath(posixpath.join(root, path)) == real
    assert _AROUND.resolve(ROOT, real) == path
    assert is_inside_root(path) == (real == root or real.startswith(f"{root}/"))
    within = real.startswith("/home/ana/repository/") and not f"{root}/".startswith(f"{real}/")
    assert _AROUND.reach(path) == (within or real == root)
    assert _AROUND.shown(path, ROOT) == (posixpath.relpath(real, root) if is_inside_root(path) else real)
    assert is_within(path, start) == (
        f"{real}/".startswith(posixpath.normpath(posixpath.join(root, start)) + "/")
    )


@pytest.mark.parametrize(
    "text",
    [
        "..",
        "../..",
        "../../../x",
        "../project/in",
        "../../sub/project/in",
        "../sub/../x",
        ".././x",
        "..//x",
        "../x/",
        "/x",
        "a/../../x",
    ],
)
def test_what_a_client_says_of_a_path_outside_must_be_canonical_and_in_reach(text: str) -> None:
    with pytest.raises(PathEscapes):
        parse_reachable_path(text, _AROUND)


def test_paths_up_to_the_top_of_the_repository_are_taken() -> None:
    for text in ("in", "../x", "../../x/y", "..a/b"):
        assert parse_reachable_path(text, _AROUND) == text
    with pytest.raises(PathEscapes):
        parse_reachable_path("../x", Surroundings(_AROUND.root, 0))


@pytest.mark.parametrize(
    ("root", "levels"),
    [
        ("relative", 0),
        ("/a/../b", 1),
        ("/a//b", 1),
        ("/a", 2),
        ("/a", -1),
        ("/", 0),
        ("/a\0", 1),
        ("/" + "a" * 5000, 1),
    ],
)
def test_a_place_that_cannot_be_is_refused(root: str, levels: int) -> None:
    with pytest.raises(PathEscapes):
        parse_surroundings(root, levels)


@pytest.mark.parametrize("around", [_AROUND, Surroundings()])
def test_a_path_that_leads_up_without_end_is_refused(around: Surroundings) -> None:
    deep = Surroundings(around.root and "/d" * 100)
    with pytest.raises(PathEscapes, match="folders up"):
        deep.resolve(ROOT, "../" * 99 + "x")
    with pytest.raises(PathEscapes):
        around.resolve(ROOT, "x\0")


def test_the_root_is_known_from_the_top_of_the_repository() -> None:
    assert parse_surroundings("/home/ana/repository/sub/project", 2).prefix == "sub/project"
    assert parse_surroundings("/home/ana/project", 0).prefix == ROOT
    assert parse_surroundings("", 3) == Surroundings()
