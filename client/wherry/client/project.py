"""The project that a command stands in: its root, name and git commit. Nothing here reads DVC's files."""

import contextlib
import os
import re
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wherry.client.errors import BadConfiguration, FileTrouble, NotInProject

_NAME_CHARACTERS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A DVC project on this machine."""

    root: Path
    """The folder that holds `.dvc`, absolute."""
    folder: str
    """Where the command stands, relative to the root; empty for the root."""
    git_root: Path | None
    """The git working tree around it, if any."""
    name: str
    """Under which its runs are listed."""

    @property
    def levels(self) -> int:
        """How many folders above the root are in the git working tree."""
        return 0 if self.git_root is None else len(self.root.relative_to(self.git_root).parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What git says of the project: for people, part of no key."""

    rev: str = ""
    dirty: bool = False


def find_project(start: Path, environ: Mapping[str, str]) -> Project:
    """Find the project around a folder.

    Raises:
        NotInProject: if no folder from here up holds a `.dvc` folder.
        BadConfiguration: if `.dvc/wherry.toml` cannot be read.
    """
    here = Path(os.path.realpath(start))
    root = _ancestor_with(here, ".dvc", need_folder=True)
    if root is None:
        raise NotInProject(
            f"{here} is not inside a DVC project", hint="go to one (-C DIR), or make one with `dvc init`"
        )
    git_root = _ancestor_with(root, ".git", need_folder=False)
    folder = here.relative_to(root).as_posix()
    return Project(
        root=root,
        folder="" if folder == "." else folder,
        git_root=git_root,
        name=_project_name(root, git_root, environ),
    )


def find_root(start: Path) -> Path | None:
    """Find the DVC root at or above a folder."""
    return _ancestor_with(Path(os.path.realpath(start)), ".dvc", need_folder=True)


def read_commit(project: Project) -> Commit:
    """Ask git for the commit and whether the project differs from it."""
    if project.git_root is None:
        return Commit()
    answer = run_git(project.root, "status", "--porcelain=v2", "--branch", "-z", "--", ".")
    lines = [line for line in answer.decode("utf-8", "replace").split("\0") if line]
    rev = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    return Commit(
        rev="" if rev == "(initial)" else rev, dirty=any(not line.startswith("#") for line in lines)
    )


def ignores_elsewhere(project: Project) -> bool:
    """Whether git may ignore files of the project for what stands in none of its own `.gitignore` files.

    That is `info/exclude`, the user's own file, and `.gitignore` files above the root (gitignore(5)).
    """
    if project.git_root is None:
        return False
    above = project.root.parents[: project.levels]
    excluded = run_git(project.root, "rev-parse", "--git-path", "info/exclude").rstrip(b"\n")
    files = [*(folder / ".gitignore" for folder in above), project.root / os.fsdecode(excluded)]
    return any(map(_has_pattern, [*files, _users_ignore_file(project)]))


def _users_ignore_file(project: Project) -> Path:
    # git prints nothing and ends with 1 where nobody has set it; the default stands in git-config(1).
    with contextlib.suppress(FileTrouble):
        named = run_git(project.root, "config", "--type=path", "--get", "core.excludesFile")
        return Path(os.fsdecode(named.rstrip(b"\n")))
    configuration = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(configuration) / "git" / "ignore"


def _has_pattern(ignore_file: Path) -> bool:
    try:
        lines = ignore_file.read_bytes().splitlines()
    except OSError:
        return False
    return any(line.strip() and not line.startswith(b"#") for line in lines)


def run_git(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None, stdin: bytes = b""
) -> bytes:
    """Run git and return what it prints; `environment` is added to what it has.

    Raises:
        FileTrouble: if git is not installed or refuses; with its own words.
    """
    # No optional locks: a look at the project must not disturb another git command.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **(environment or {})}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, input=stdin, capture_output=True, check=False
        )
    except FileNotFoundError as exc:
        raise FileTrouble(f"{folder} is in a git repository, but git is not installed") from exc
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise FileTrouble(f"git {arguments[0]} failed in {folder}: {said[0] if said else done.returncode}")
    return done.stdout


def _ancestor_with(start: Path, name: str, *, need_folder: bool) -> Path | None:
    for folder in (start, *start.parents):
        candidate = folder / name
        if candidate.is_dir() or (not need_folder and candidate.exists()):
            return folder
    return None


def _project_name(root: Path, git_root: Path | None, environ: Mapping[str, str]) -> str:
    name = environ.get("WHERRY_PROJECT", "") or _configured_name(root)
    if not name and git_root is not None:
        # Two clones of one repository are one project, wherever they lie.
        with contextlib.suppress(FileTrouble):
            url = run_git(root, "config", "--get", "remote.origin.url").decode("utf-8", "replace").strip()
            name = re.split(r"[/:\\]", url.rstrip("/"))[-1].removesuffix(".git")
        below = root.relative_to(git_root).as_posix()
        name = "" if not name else name if below == "." else f"{name}-{below}"
    name = re.sub(r"[^\w.-]+", "-", name or root.name).strip("-")
    return name[:_NAME_CHARACTERS_MAX] or "project"


def _configured_name(root: Path) -> str:
    for file in (root / ".dvc" / "wherry.local.toml", root / ".dvc" / "wherry.toml"):
        try:
            with file.open("rb") as stream:
                value = tomllib.load(stream).get("project", "")
        except FileNotFoundError:
            continue
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise BadConfiguration(
                f"cannot read {file}: {exc}",
                where=str(file),
                hint="it must be TOML: mend the line that is named",
            ) from exc
        if value:
            return str(value)
    return ""
