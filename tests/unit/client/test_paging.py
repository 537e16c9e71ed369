"""Tables in a pager: only on a terminal, and only when they are larger than it."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

_PAGE = "import sys; from wherry.client.cli.paging import page; page(sys.argv[1])"


@pytest.mark.parametrize(
    ("text", "paged"), [("x" * 81, True), ("x\n" * 24, True), ("x" * 80, False), ("x\n" * 23, False)]
)
def test_only_what_does_not_fit_is_paged(tmp_path: Path, text: str, paged: bool) -> None:
    seen = tmp_path / "seen"
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "DVC_PAGER": f"tee {seen}",
        "COLUMNS": "80",
        "LINES": "24",
    }
    subprocess.run(
        [sys.executable, "-c", _PAGE, text], stdout=theirs, env=environment, timeout=120, check=True
    )
    os.close(theirs)
    assert os.read(ours, 1).decode() == "x"
    os.close(ours)
    assert seen.exists() == paged
    if paged:
        assert seen.read_text() == f"{text}\n"


def test_what_is_no_terminal_and_what_has_no_pager_is_printed() -> None:
    for environment in ({"DVC_PAGER": "false"}, {"DVC_PAGER": "no-such-program"}):
        done = subprocess.run(
            [sys.executable, "-c", _PAGE, "x" * 500],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=120,
            check=True,
        )
        assert done.stdout == "x" * 500 + "\n"
