"""A table that is larger than the terminal, in a pager: lines are cut at the edge, and one moves sideways."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys

from wherry.client.cli import interrupts

# Lines are not folded, colours pass, and what was seen stays on the screen.
_LESS = "SRX"


def page(text: str) -> None:
    """Print text; by DVC_PAGER, PAGER or less where stdout is a terminal that it does not fit on."""
    pager = _pager() if sys.stdout.isatty() and not _fits(text) else []
    if not pager:
        print(text)
        return
    environment = {**os.environ, "LESS": os.environ.get("LESS", _LESS)}
    sys.stdout.flush()
    with subprocess.Popen(pager, stdin=subprocess.PIPE, text=True, env=environment) as program:
        assert program.stdin is not None
        # Who leaves early has seen enough, and Ctrl-C is the pager's.
        with contextlib.suppress(BrokenPipeError), interrupts.ignored():
            program.stdin.write(f"{text}\n")
            program.stdin.close()
        while program.poll() is None:
            with interrupts.ignored():
                program.wait()


def _fits(text: str) -> bool:
    size = shutil.get_terminal_size()
    lines = text.splitlines()
    return len(lines) < size.lines and max(map(len, lines), default=0) <= size.columns


def _pager() -> list[str]:
    """The program and its arguments; empty when there is none."""
    words = shlex.split(os.environ.get("DVC_PAGER") or os.environ.get("PAGER") or "less")
    return words if words and shutil.which(words[0]) else []
