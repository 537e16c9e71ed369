"""Cached outputs are kept out of git, as `dvc repro` keeps them out."""

import functools
import posixpath
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

_TIMEOUT_S = 60

# What gitignore's patterns take for something else, and what DVC escapes.
_SPECIAL = re.compile(r"[\\\[\]!*#?]")


def keep_out_of_git(root: Path, paths: Iterable[str]) -> list[str]:
    """Add outputs that git does not ignore yet to the .gitignore beside them; say which files changed.

    DVC appends `/name` to the .gitignore of the output's folder when it has run or restored a stage. A folder
    that is not there is not made for it. Outside git nothing is done.
    """
    # Asked once for each folder: a thousand outputs may stand in one.
    is_there = functools.cache(lambda folder: (root / folder).is_dir())
    shown = dict.fromkeys(path for path in paths if is_there(posixpath.dirname(path)))
    if not shown:
        return []
    ignored = _ignored(root, set(shown))
    changed = []
    for path in (path for path in shown if path not in ignored):
        target = root / path
        gitignore, line = target.parent / ".gitignore", "/" + _SPECIAL.sub(r"\\\g<0>", target.name)
        before = gitignore.read_text() if gitignore.exists() else ""
        if line in before.splitlines():
            continue
        gap = "\n" if before and not before.endswith("\n") else ""
        gitignore.write_text(f"{before}{gap}{line}\n")
        changed.append(gitignore.relative_to(root).as_posix())
    return list(dict.fromkeys(changed))


def _ignored(root: Path, paths: set[str]) -> set[str]:
    """The paths that git ignores already; all of them where there is no git."""
    try:
        asked = subprocess.run(
            ["git", "check-ignore", "-z", "--stdin"],
            cwd=root,
            input="\0".join(sorted(paths)),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        return paths
    # 0: some are ignored, 1: none is; anything else: this is no git repository.
    return set(asked.stdout.split("\0")) if asked.returncode in {0, 1} else paths
