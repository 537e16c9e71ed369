"""Adding a stage: what needs the folder itself is checked and written here, what the stage means is the service's."""

import hashlib
import os
import posixpath
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wherry.client.errors import FileTrouble, Invalid
from wherry.client.git_ignore import keep_out_of_git
from wherry.client.ignore import IgnoreRules
from wherry.client.paths import place_inside
from wherry.client.project import Project, run_git
from wherry.client.unwritable import cannot_write
from wherry.v1 import pipelines_pb2
from wherry.v1.pipelines_pb2 import AddedStage


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOutput:
    """An output of a stage to be added."""

    path: str
    kind: str = "out"
    """out, metric or plot."""
    cache: bool = True
    persist: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStage:
    """A stage as `dvc stage add` takes it. Paths are relative to `wdir`."""

    name: str
    command: Sequence[str]
    """Words of the command; a single one may be a whole command."""
    wdir: str = ""
    """Relative to where the command is given; empty: there."""
    deps: Sequence[str] = ()
    params: Sequence[str] = ()
    """Each "[FILE:]KEY,KEY"; "FILE:" is the whole file."""
    outs: Sequence[NewOutput] = field(default=())
    always_changed: bool = False
    desc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """Which files were changed, relative to the DVC root."""

    pipeline_file: str
    git_ignores: tuple[str, ...]


def prepare_stage(project: Project, stage: NewStage) -> pipelines_pb2.NewStage:
    """Check what the service cannot see, and write the stage for the wire.

    Absolute paths inside the project become relative, as DVC makes them.

    Raises:
        Invalid: if wdir is no folder, or .dvcignore hides an output.
    """
    here = project.root / project.folder
    wdir = here / stage.wdir
    if not wdir.is_dir():
        raise Invalid(
            f"the working folder {stage.wdir!r} of the stage is no folder", hint=f"make {wdir} first"
        )
    deps = [_from_wdir(path, project.root, wdir) for path in stage.deps]
    outs = [replace(out, path=_from_wdir(out.path, project.root, wdir)) for out in stage.outs]
    _check_visible(project.root, wdir, [out.path for out in outs])
    return pipelines_pb2.NewStage(
        name=stage.name,
        command=stage.command,
        wdir=os.path.relpath(wdir, here) if posixpath.isabs(stage.wdir) else stage.wdir,
        deps=deps,
        params=stage.params,
        outs=[
            pipelines_pb2.NewOutput(
                path=out.path,
                kind=pipelines_pb2.OutputKind.Value(f"OUTPUT_KIND_{out.kind.upper()}"),
                cache=out.cache,
                persist=out.persist,
            )
            for out in outs
        ],
        always_changed=stage.always_changed,
        desc=stage.desc,
    )


def write_added(project: Project, added: AddedStage) -> Edited:
    """Write the changed dvc.yaml, whole or not at all, and keep new outputs out of git as DVC does.

    Raises:
        FileTrouble: if the file was changed meanwhile or cannot be written.
        Invalid: if git tracks an output that DVC is to keep.
    """
    target = place_inside(project.root, added.path)
    _check_untracked(project, added.git_ignored)
    try:
        before = target.read_bytes() if target.exists() else None
        if _hash_of(before) != added.previous_hash:
            known = (
                "was changed meanwhile" if added.previous_hash else "is here, but git or .dvcignore hides it"
            )
            raise FileTrouble(f"{added.path} {known}; nothing is written", where=added.path)
        _replace(target, added.content)
        ignores = keep_out_of_git(project.root, added.git_ignored) if project.git_root else []
    except OSError as exc:
        raise cannot_write(exc.filename or added.path, exc) from exc
    return Edited(pipeline_file=added.path, git_ignores=tuple(ignores))


def _from_wdir(path: str, root: Path, wdir: Path) -> str:
    inside = posixpath.isabs(path) and posixpath.normpath(path).startswith(f"{root}/")
    return os.path.relpath(path, wdir) if inside else path


def _check_visible(root: Path, wdir: Path, paths: Sequence[str]) -> None:
    rules = IgnoreRules(root)
    for path in paths:
        full = posixpath.normpath(posixpath.join(wdir, path))
        relative = posixpath.relpath(full, root)
        if relative == "." or relative.startswith(".."):
            continue
        ignores = rules.ignores_folder if Path(full).is_dir() else rules.ignores_file
        if ignores(relative):
            raise Invalid(
                f"{path!r} is hidden from DVC by .dvcignore", hint="Change .dvcignore, or the path."
            )


def _check_untracked(project: Project, outs: Sequence[str]) -> None:
    if project.git_root is None or not outs:
        return
    specs = [f":(literal){out}" for out in outs]
    tracked = run_git(project.root, "ls-files", "-z", "--cached", "--", *specs).split(b"\0")
    if tracked[0]:
        path = os.fsdecode(tracked[0])
        raise Invalid(
            f"git tracks {path}, which DVC would keep as an output",
            hint=f"`git rm -r --cached {path}` takes it out of git; -O, -M or --plots-no-cache leave it there",
        )


def _hash_of(content: bytes | None) -> str:
    return "" if content is None else hashlib.md5(content, usedforsecurity=False).hexdigest()


def _replace(target: Path, content: bytes) -> None:
    # A link stays a link: what it points to is replaced.
    real = Path(os.path.realpath(target))
    temporary = real.with_name(f".{real.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
        if real.exists():
            shutil.copymode(real, temporary)
        temporary.replace(real)
    finally:
        temporary.unlink(missing_ok=True)
