"""Stages that cannot be run here are refused with the place, the path and the way out."""

import pytest

from wherry.service.domain.dvc.outside_paths import find_obstacle
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath, Surroundings

_AROUND = Surroundings("/home/ana/repository/sub/project", 2)


def _obstacle(declared: str, around: Surroundings = _AROUND) -> PipelineInvalid | None:
    text = f"stages:\n  a:\n    cmd: x\n    {declared}\n"
    (stage,) = parse_pipeline_file(text.encode(), ProjectPath("dvc.yaml"), around=around)
    return find_obstacle(stage, around)


@pytest.mark.parametrize(
    ("declared", "says", "hint"),
    [
        ("deps: [in, s3://b/k]", "'s3://b/k' lies outside", "dvc import-url s3://b/k"),
        ("deps: ['https://x.y/z']", "'https://x.y/z' lies outside", "dvc import-url"),
        ("deps: ['remote://r/z']", "'remote://r/z' lies outside", "dvc import-url"),
        ("deps: [/data/raw]", "'/data/raw' lies outside", "Put it into the repository"),
        ("deps: [../../../raw]", "'../../../raw' lies outside", "Put it into the repository"),
        ("deps: [/home/ana/repository/lib]", "an absolute path", "relative to wdir: ../../lib"),
        ("deps: [../.git/config]", "stays on your machine", "Leave it out"),
        ("params: [{../other/.dvc/config: [k]}]", "stays on your machine", "Leave it out"),
        ("outs: [{../.git/hooks/pre-commit: {cache: false}}]", "git's or DVC's own", "elsewhere"),
        ("deps: [..]", "holds the whole project", "Name the files"),
        ("params: [{/etc/p.yaml: [k]}]", "'/etc/p.yaml' lies outside", "Put it"),
        ("outs: [s3://b/o]", "'s3://b/o' lies outside", "relative path inside"),
        ("outs: [/tmp/o]", "'/tmp/o' lies outside", "relative path inside"),
        ("outs: [/home/ana/repository/o: {cache: false}]", "an absolute path", "relative path"),
        ("outs: [../o]", "outside the DVC root", "cache: false"),
        ("wdir: ../../..", "lies outside the repository", "cd"),
        ("wdir: ..\n    deps: [i]\n    outs: [project/o]", "run cache", "cd"),
    ],
)
def test_what_is_out_of_reach_is_named_with_a_way_out(declared: str, says: str, hint: str) -> None:
    found = _obstacle(declared)
    assert found is not None
    assert "stage 'a'" in found.message
    assert says in found.message
    assert hint in found.hint
    assert found.place is not None
    assert found.place.line >= 2


@pytest.mark.parametrize(
    ("declared", "place"), [("deps: [in, s3://b/k]", "dvc.yaml:4:16"), ("wdir: /opt", "dvc.yaml:4:5")]
)
def test_the_place_is_that_of_the_path(declared: str, place: str) -> None:
    found = _obstacle(declared)
    assert found is not None
    assert str(found.place) == place


@pytest.mark.parametrize(
    "declared",
    [
        "deps: [../lib, ../../shared/x, ../project/in]",
        "deps: [/home/ana/repository/sub/project/in]",
        "params: [{../../p.yaml: [k]}]",
        "outs: [../o: {cache: false}]",
        "outs: [/home/ana/repository/sub/project/o]",
        "wdir: ../..",
    ],
)
def test_what_lies_in_the_repository_is_no_obstacle(declared: str) -> None:
    assert _obstacle(declared) is None


def test_without_a_repository_around_it_nothing_above_the_root_is_in_reach() -> None:
    alone = Surroundings("/home/ana/repository/sub/project", 0)
    assert _obstacle("deps: [../lib]", alone) is not None
    assert _obstacle("deps: [../project/in]", alone) is None
    # An older client does not say where the project lies.
    assert _obstacle("deps: [../lib]", Surroundings()) is not None
    assert _obstacle("deps: [/home/ana/repository/sub/project/in]", Surroundings()) is not None
