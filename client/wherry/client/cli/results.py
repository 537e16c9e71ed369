"""`wherry apply` and `wherry pull`: what runs produced, into the project."""

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

import click

from wherry.client.cli import exits
from wherry.client.cli.finishing import tell_kept
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal
from wherry.client.cli.units import size_words
from wherry.client.client import Client
from wherry.client.errors import ClientError, Invalid, Unknown
from wherry.client.placing import Placed
from wherry.client.project import Project
from wherry.client.run import Run


@click.command(cls=Command)
@click.argument("run")
@click.option("-f", "--force", is_flag=True, help="Replace files that were changed since the submission.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.placed/1.")
@click.pass_obj
def apply(settings: Settings, run: str, force: bool, as_json: bool) -> int:  # noqa: FBT001 - click passes flags by name
    """Write a run's dvc.lock, params and uncached outputs into the project.

    A dvc.lock or params file that was changed since the submission is left as it is, unless --force.
    """
    with open_session(settings) as (client, terminal):
        project = client.project
        found = client.run(run)
        if found.project != project.name:
            terminal.warn(f"run {found.id} is of project {found.project}, this is {project.name}")
        report = found.apply(force=force)
        tell_kept(terminal, found.id, report)
        if as_json:
            terminal.document(placed_document(report.placed, paths=report.applied, kept=report.kept))
        elif not settings.quiet:
            terminal.answer(f"Run {found.id} applied: {_placed_words(report.placed)}.")
        return exits.OTHER if report.kept else exits.SUCCESS


@click.command(cls=Command)
@click.argument("run_and_paths", metavar="[RUN] [PATHS]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.placed/1.")
@click.pass_obj
def pull(settings: Settings, run_and_paths: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Bring outputs into the project.

    Of RUN (a number or a name), or without one those that are known for the project as it stands. PATHS
    select outputs, what lies below a folder, or parts of a folder. A first argument that is a number, or the
    name of a run and of no file here, is the run; write ./NAME for a path that looks like one.
    """
    with open_session(settings) as (client, terminal):
        project = client.project
        run, paths = _split(client, settings.folder, run_and_paths)
        chosen = [_from_root(project, path) for path in paths]
        report = run.pull(*chosen) if run is not None else client.pull(client.workspace_outs(), chosen)
        if as_json:
            terminal.document(placed_document(report.placed, paths=report.outs, kept=()))
        elif not settings.quiet:
            _tell_pulled(terminal, len(report.outs), report.placed)


def _tell_pulled(terminal: Terminal, outs: int, placed: Placed) -> None:
    if not outs:
        terminal.answer("Nothing to pull: no output is known.")
        return
    terminal.answer(f"{outs} output{'' if outs == 1 else 's'}: {_placed_words(placed)}.")


def placed_document(placed: Placed, *, paths: Sequence[str], kept: Sequence[str]) -> dict[str, object]:
    """Write wherry.placed/1; paths are from the DVC root."""
    return {
        "schema": "wherry.placed/1",
        "paths": list(paths),
        "kept": list(kept),
        "written": len(placed.written),
        "unchanged": placed.kept,
        "removed": len(placed.removed),
        "bytes": placed.size_bytes,
    }


def _placed_words(placed: Placed) -> str:
    count = len(placed.written)
    words = f"{count} file{'' if count == 1 else 's'} written ({size_words(placed.size_bytes)})"
    if placed.kept:
        words += f", {placed.kept} right already"
    if placed.removed:
        words += f", {len(placed.removed)} removed"
    return words


def _split(client: Client, folder: Path, arguments: tuple[str, ...]) -> tuple[Run | None, tuple[str, ...]]:
    if not arguments:
        return None, ()
    first = arguments[0]
    if first.isdigit():
        return client.run(first), arguments[1:]
    if "/" in first or os.sep in first or os.path.lexists(folder / first):
        return None, arguments
    try:
        return client.run(first), arguments[1:]
    except (Unknown, Invalid):
        return None, arguments


def _from_root(project: Project, path: str) -> str:
    """Turn a path as typed into one relative to the DVC root."""
    here = posixpath.join(project.root.as_posix(), project.folder)
    typed = Path(path).as_posix()
    full = posixpath.normpath(typed if posixpath.isabs(typed) else posixpath.join(here, typed))
    relative = posixpath.relpath(full, project.root.as_posix())
    if relative == ".." or relative.startswith("../"):
        raise ClientError(f"{path} is not inside the project {project.root}", reason="PATH_OUTSIDE")
    return relative
