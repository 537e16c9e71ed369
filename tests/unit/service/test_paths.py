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
    is_within,
    parse_project_path,
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
