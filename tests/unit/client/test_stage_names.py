"""Names of stages as DVC prints them in a folder."""

import pytest

from wherry.client.stage_names import StageNames

NAMES = [
    # from the root, folder, as seen
    ("train", "", "train"),
    ("train", "sub", "../dvc.yaml:train"),
    ("train", "a/b", "../../dvc.yaml:train"),
    ("sub/dvc.yaml:train", "", "sub/dvc.yaml:train"),
    ("sub/dvc.yaml:train", "sub", "train"),
    ("sub/dvc.yaml:train", "sub/inner", "../dvc.yaml:train"),
    ("sub/dvc.yaml:train", "other", "../sub/dvc.yaml:train"),
    ("sub/dvc.yaml:train@a/b:c@d", "sub", "train@a/b:c@d"),
    ("train@x/dvc", "sub", "../dvc.yaml:train@x/dvc"),
    ("data/x.dvc", "data", "x.dvc"),
    ("data/x.dvc", "sub", "../data/x.dvc"),
]


@pytest.mark.parametrize(("name", "folder", "seen"), NAMES)
def test_a_name_reads_as_dvc_prints_it_and_is_understood_again(name: str, folder: str, seen: str) -> None:
    assert StageNames(folder).seen(name) == seen
    assert StageNames(folder).find(seen, {name, "another"}) == name


def test_a_name_from_the_root_is_understood_anywhere() -> None:
    known = {"train", "sub/dvc.yaml:train", "sub/dvc.yaml:deep", "prepare"}

    assert StageNames("sub").find("train", known) == "sub/dvc.yaml:train", "what is here comes first"
    assert StageNames("sub").find("sub/dvc.yaml:deep", known) == "sub/dvc.yaml:deep"
    assert StageNames("sub").find("prepare", known) == "prepare"
    assert StageNames("sub").find(":train", known) == "sub/dvc.yaml:train"
    assert StageNames("sub").find("dvc.yaml:train", known) == "sub/dvc.yaml:train"


def test_what_is_not_known_stays_as_it_was_typed() -> None:
    for typed in ("trian", "../../../dvc.yaml:x", ":", "", "dvc.yaml:", "a:b"):
        assert StageNames("sub").find(typed, {"train"}) == typed
