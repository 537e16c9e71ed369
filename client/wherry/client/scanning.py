"""The project's own files: git-tracked plus untracked-not-ignored, minus what is private or ignored by DVC."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from wherry.client.errors import FileTrouble
from wherry.client.hashing import FoundFile, Hasher, LocalFile
from wherry.client.ignore import IgnoreRules
from wherry.client.project import Project, run_git

_PRIVATE_IN_DVC = frozenset({"cache", "tmp", "config.local", "wherry.local.toml"})

# Keys of DVC's remotes that hold secrets; `dvc remote modify` without --local puts them into .dvc/config.
_SECRET = re.compile(
    rb"^\s*(secret_access_key|session_token|password|sas_token|account_key|connection_string|client_secret|"
    rb"token|gdrive_service_account_json_file_path|access_key_secret|oss_key_secret|keypass|passphrase)\s*=",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(slots=True)
class Scan:
    """The files of a project, by path."""

    files: dict[str, LocalFile] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def scan_project(project: Project, rules: IgnoreRules, hasher: Hasher) -> Scan:
    """List and hash the project's files.

    Raises:
        FileTrouble: if one cannot be read, a link leads out of the project, or git refuses.
    """
    scan = Scan()
    found: list[FoundFile] = []
    folder_links: dict[str, str] = {}
    for path in _candidates(project, rules, scan):
        item = _look_at(project.root, path, scan, folder_links)
        if item is not None:
            found.append(item)
    for file in hasher.hash_files(found):
        scan.files[file.path] = file
    _follow_folder_links(scan, folder_links)
    return scan


def list_files(project: Project) -> list[str]:
    """List the project's own files, as they would be submitted, without reading them."""
    return list(_candidates(project, IgnoreRules(project.root), Scan()))


def is_private(path: str) -> bool:
    """Whether a path is git's, or of the parts of `.dvc` that stay on this machine."""
    parts = path.split("/")
    return any(
        part == ".git" or (part == ".dvc" and _PRIVATE_IN_DVC & set(parts[index + 1 : index + 2]))
        for index, part in enumerate(parts)
    )


def _candidates(project: Project, rules: IgnoreRules, scan: Scan) -> Iterator[str]:
    listed = _walk(project.root, rules) if project.git_root is None else _list_by_git(project.root)
    for path in listed:
        if is_private(path):
            continue
        # DVC never ignores its own folder; the rules are for the user's files.
        if not path.startswith(".dvc/") and rules.ignores_file(path):
            continue
        try:
            path.encode()
        except UnicodeEncodeError:
            scan.warnings.append(f"left out, because its name is not UTF-8: {os.fsencode(path)!r}")
            continue
        yield path


def _list_by_git(root: Path) -> list[str]:
    listed = run_git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    # A path with a merge conflict is listed once for each side.
    return sorted({os.fsdecode(name) for name in listed.split(b"\0") if name})


def _walk(root: Path, rules: IgnoreRules, folder: str = "") -> Iterator[str]:
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError as exc:
        raise FileTrouble(f"cannot list {folder or root}: {exc.strerror or exc}") from exc
    data = _tracked_data(entries)
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name in data:
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield path
        elif not is_private(path) and (path == ".dvc" or not rules.ignores_folder(path)):
            yield from _walk(root, rules, path)


def _tracked_data(entries: Iterable["os.DirEntry[str]"]) -> set[str]:
    """What `dvc add` tracks of a folder: without git no .gitignore tells, and it travels as data, when it is needed."""
    names = (
        entry.name.removesuffix(".dvc")
        for entry in entries
        if entry.name.endswith(".dvc") and entry.is_file()
    )
    return {name for name in names if name}


def _look_at(root: Path, path: str, scan: Scan, folder_links: dict[str, str]) -> FoundFile | None:
    source = root / path
    try:
        status = source.lstat()
    except (FileNotFoundError, NotADirectoryError):  # tracked by git, deleted here
        return None
    except OSError as exc:
        raise FileTrouble(f"cannot look at {path}: {exc.strerror or exc}") from exc
    if stat.S_ISLNK(status.st_mode):
        return _look_through(root, path, scan, folder_links)
    if stat.S_ISDIR(status.st_mode):
        scan.warnings.append(f"left out: {path.rstrip('/')} is a git repository of its own (a submodule?)")
        return None
    if not stat.S_ISREG(status.st_mode):
        scan.warnings.append(f"left out: {path} is neither a file nor a folder")
        return None
    if path == ".dvc/config" and _holds_secret(source):
        scan.warnings.append(
            ".dvc/config holds a secret and was left out; `dvc remote modify --local` keeps it in .dvc/config.local"
        )
        return None
    return FoundFile(path=path, source=source, status=status)


def _look_through(root: Path, path: str, scan: Scan, folder_links: dict[str, str]) -> FoundFile | None:
    """Follow a link inside the project: its content travels, not the link."""
    real = Path(os.path.realpath(root / path))
    if root not in real.parents:
        raise FileTrouble(
            f"{path} is a link that leads out of the project, to {real}",
            hint=f"remove it, add it to .dvcignore, or track its content with `dvc add {path}`",
            where=path,
        )
    target = real.relative_to(root).as_posix()
    if is_private(target) or target == ".dvc":
        scan.warnings.append(f"left out: {path} is a link to {target}, which stays on this machine")
        return None
    if not real.exists():
        scan.warnings.append(f"left out: {path} is a link to nothing")
        return None
    if real.is_dir():
        folder_links[path] = target
        return None
    return FoundFile(path=path, source=real, status=real.stat())


def _follow_folder_links(scan: Scan, folder_links: dict[str, str]) -> None:
    """Show the project's files below a linked folder under the link's name too."""
    real_files = list(scan.files.values())
    for link, target in folder_links.items():
        for file in _below(real_files, target + "/"):
            path = link + file.path[len(target) :]
            scan.files[path] = replace(file, path=path)


def _below(files: Iterable[LocalFile], prefix: str) -> Iterator[LocalFile]:
    return (file for file in files if file.path.startswith(prefix))


def holds_secret(config: bytes) -> bool:
    """Whether a configuration of DVC has a key that is no one else's business."""
    return _SECRET.search(config) is not None


def _holds_secret(file: Path) -> bool:
    try:
        return holds_secret(file.read_bytes())
    except OSError as exc:
        raise FileTrouble(f"cannot read {file}: {exc.strerror or exc}") from exc
