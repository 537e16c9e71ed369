"""The page that says what is promised of stages names tests that exist."""

import re
from pathlib import Path

import pytest

from tests.e2e.test_hostile_stages import STAGES

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "security.md"

_FUNCTION = re.compile(r"^def (?:test_)(?P<name>\w+)\(", re.MULTILINE)
_ROW = re.compile(r"^\| (?P<promise>[^|]+) \|[^|]+\| (?P<proof>[^|]+) \|$", re.MULTILINE)


def proofs() -> dict[str, str]:
    """By promise, what is said to show it."""
    rows = {row["promise"]: row["proof"] for row in _ROW.finditer(PAGE.read_text())}
    return {
        promise: proof for promise, proof in rows.items() if "`tests/`" not in proof and "---" not in proof
    }


@pytest.mark.parametrize("promise", proofs())
def test_every_promise_is_shown_by_tests_that_are_there(promise: str) -> None:
    proof = proofs()[promise]
    files = re.findall(r"`(\S+\.py)`", proof)
    names = [re.sub(r"\W+", "_", name.replace("'", "")) for name in re.findall(r"\*([^*]+)\*", proof)]
    assert files or names
    found = {file: list(TESTS.rglob(file)) for file in files}
    assert [file for file, paths in found.items() if len(paths) != 1] == []
    known = {name for path in TESTS.rglob("test_*.py") for name in _FUNCTION.findall(path.read_text())}
    assert [name for name in names if name not in STAGES and not any(name in one for one in known)] == []


def test_the_page_has_its_promises() -> None:
    assert len(proofs()) > 15
