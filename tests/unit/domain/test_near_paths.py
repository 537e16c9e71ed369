"""The path that somebody may have meant."""

import pytest

from wherry.service.domain.near_paths import find_near_path
from wherry.service.domain.paths import ProjectPath

_THERE = [
    ProjectPath(path)
    for path in ("src/train.py", "src/reviews/fit.py", "params.yaml", "data/clean", "data/a.csv")
]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("src/trian.py", "src/train.py"),
        ("src/fit.py", "src/reviews/fit.py"),
        ("param.yaml", "params.yaml"),
        ("data/cleaned", "data/clean"),
        ("data/cleaned/en.csv", "data/clean/en.csv"),
        ("srcs/train.py", "src/train.py"),
        ("models/big.bin", None),
        ("x", None),
    ],
)
def test_a_typing_error_is_seen_through(written: str, meant: str | None) -> None:
    assert find_near_path(ProjectPath(written), _THERE) == meant
