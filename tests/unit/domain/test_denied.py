"""That a stage tried to change an input."""

import pytest

from wherry.service.domain.denied import find_denied

_INPUTS = ["/workspace/models", "/workspace/data/a.csv"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("bash: line 1: ../models/en.json: Permission denied", "../models/en.json"),
        ("sh: 1: cannot create /workspace/models/en.json: Permission denied", "../models/en.json"),
        ("mv: cannot move 'x' to '../models/x': Permission denied", "../models/x"),
        ("touch: cannot touch '../data/a.csv': Permission denied", "../data/a.csv"),
        ("PermissionError: [Errno 13] Permission denied: '../data/a.csv'", "../data/a.csv"),
        ("OSError: [Errno 30] Read-only file system: '../models/new'", "../models/new"),
    ],
)
def test_the_input_is_named(line: str, what: str) -> None:
    found = find_denied(["Traceback", line, "done"], "/workspace/src", _INPUTS)
    assert found is not None
    assert found.what == f"{what!r} is an input, which a stage cannot change"
    assert "outs in dvc.yaml" in found.advice


@pytest.mark.parametrize(
    "line",
    ["tr: write error: No space left on device", "OSError: [Errno 28] No space left on device: '/tmp/x'"],
)
def test_a_disk_that_is_full_is_told_from_an_input(line: str) -> None:
    found = find_denied([line, "bye"], "/workspace", _INPUTS)
    assert found is not None
    assert found.what == "there was no room for what it wrote"
    assert "`wherry doctor`" in found.advice


@pytest.mark.parametrize(
    "line",
    [
        "PermissionError: [Errno 13] Permission denied: '/etc/passwd'",
        "bash: ../modelsx: Permission denied",
        "Permission denied",
        "ssh: Permission denied (publickey)",
    ],
)
def test_other_refusals_are_left_alone(line: str) -> None:
    assert find_denied([line], "/workspace/src", _INPUTS) is None
