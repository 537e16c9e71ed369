"""A commit of the project in a folder of its own, for as long as it is submitted: the work tree is not touched."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from wherry.client.dvc_cache import read_cache_settings
from wherry.client.errors import FileTrouble, Refused, Unknown
from wherry.client.project import Project, run_git


@contextlib.contextmanager
def checked_out(project: Project, rev: str) -> Iterator[Path]:
    """Check a commit out and return the folder that corresponds to the one of the command.

    DVC's cache of the project is used for its data; the commit's own settings of it are not.

    Raises:
        Refused: if the project is not in a git repository, or the commit has no project there.
        Unknown: if there is no such commit.
    """
    if project.git_root is None:
        raise Refused(f"{project.root} is in no git repository: it has no {rev}", reason="NO_GIT")
    commit = _commit(project, rev)
    with tempfile.TemporaryDirectory(prefix="wherry-rev-") as temporary:
        tree = Path(temporary).resolve() / project.git_root.name
        # Hooks are for whoever works in the tree.
        quiet = ("-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")
        run_git(project.git_root, *quiet, "worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            root = tree / project.root.relative_to(project.git_root)
            if not (root / ".dvc").is_dir():
                raise Refused(
                    f"{rev} has no DVC project at {project.root.name}", reason="NO_PROJECT_IN_COMMIT"
                )
            _share_cache(project, root)
            folder = root / project.folder
            yield folder if folder.is_dir() else root
        finally:
            with contextlib.suppress(FileTrouble):
                run_git(project.git_root, "worktree", "remove", "--force", str(tree))


def _commit(project: Project, rev: str) -> str:
    if rev.startswith("-"):
        raise Unknown(f"there is no commit {rev!r}", reason="NO_COMMIT")
    try:
        return run_git(project.root, "rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}").decode().strip()
    except FileTrouble:
        raise Unknown(
            f"there is no commit {rev!r} in {project.git_root}",
            hint="`git log --oneline` lists them",
            reason="NO_COMMIT",
        ) from None


def _share_cache(project: Project, root: Path) -> None:
    """Point to the cache of the work tree: data of the commit may be there. The file never travels."""
    cache = read_cache_settings(project.root).folder
    (root / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {cache}\n", encoding="utf-8")
