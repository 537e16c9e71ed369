"""`wherry plots`."""

import os
import posixpath
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.tabulating import TargetsOption, tell_json
from wherry.client.cli.terminal import Terminal
from wherry.client.client import Client
from wherry.client.dvc_config import find_plots_settings
from wherry.client.errors import ClientError, FileTrouble
from wherry.client.plots.filling import fill
from wherry.client.plots.gathering import (
    Gatherer,
    Image,
    Rendered,
    RevisionPlots,
    Wish,
    combine,
    inlined,
    to_json,
)
from wherry.client.plots.page import write_page
from wherry.client.plots.templates import TEMPLATES
from wherry.client.project import read_commit
from wherry.client.revisions import WORKSPACE, Revision
from wherry.client.unwritable import cannot_write

if TYPE_CHECKING:
    from wherry.client.plots.drawing import Format

Function = TypeVar("Function", bound=Callable[..., Any])

_USUAL_FOLDER = "dvc_plots"
_PROPERTIES = ("template", "x", "y", "x_label", "y_label", "title", "header")


def _looks(function: Function) -> Function:
    for option in (
        click.option("--open", "open_", is_flag=True, help="Open the page in a browser."),
        click.option("--split", is_flag=True, help="With --json: data and labels beside the specification."),
        click.option("--json", "as_json", is_flag=True, help="Print all plots as JSON, in DVC's shape."),
        click.option("--show-vega", is_flag=True, help="Print the Vega-Lite specification of one target."),
        click.option(
            "--html-template",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            metavar="FILE",
            help="Put the plots into this page, at {plot_divs} and {scripts}; DVC's plots.html_template unless given.",
        ),
        click.option(
            "--format",
            "kind",
            type=click.Choice(["html", "png", "svg"]),
            default="html",
            show_default=True,
            help="A page, or a file for each plot; the latter with `pip install 'wherry[plots]'`.",
        ),
        click.option(
            "-o", "--out", metavar="DIR", help="Write there; DVC's plots.out_dir, or dvc_plots, unless given."
        ),
        click.option("--y-label", metavar="TEXT", help="Label of the y axis."),
        click.option("--x-label", metavar="TEXT", help="Label of the x axis."),
        click.option("--title", metavar="TEXT", help="Title of the plots."),
        click.option(
            "--no-header", "header", flag_value=False, default=None, help="CSV and TSV files have no header."
        ),
        click.option("-y", metavar="FIELD", help="Field of the y axis."),
        click.option("-x", metavar="FIELD", help="Field of the x axis; the number of the row unless given."),
        click.option(
            "-t",
            "--template",
            metavar="NAME",
            help="Template, by name or path; see `wherry plots templates`.",
        ),
    ):
        function = option(function)
    return function


@click.group()
def plots() -> None:
    """Show plots, and compare them between commits, runs and the workspace."""


@plots.command("show", cls=Command)
@click.argument("targets", nargs=-1, type=click.Path())
@_looks
@click.pass_obj
def show(settings: Settings, /, **flags: Any) -> None:
    """Write a page with the plots of the project. It holds all that it needs, and opens without a network.

    TARGETS are files, or names of plots in dvc.yaml (regular expressions).
    """
    with open_session(settings) as (client, terminal):
        _run(client, terminal, [Revision(name=WORKSPACE)], flags)


@plots.command("diff", cls=Command)
@click.argument("revisions", nargs=-1)
@click.option(
    "--targets",
    cls=TargetsOption,
    type=click.Path(),
    multiple=True,
    metavar="PATH...",
    help="Files, or names of plots in dvc.yaml.",
)
@_looks
@click.pass_obj
def diff(settings: Settings, /, revisions: tuple[str, ...], **flags: Any) -> None:
    """Write a page on which the plots of revisions lie over each other.

    Of one revision alone the difference from the workspace is shown; of none, that between HEAD and the workspace. A
    revision is a name that git knows; else the number or name of a run. run:12 is the run in any case.
    """
    with open_session(settings) as (client, terminal):
        finder = client.revisions()
        names = list(revisions)
        if len(names) <= 1:
            names += ["HEAD"] if not names and read_commit(client.project).dirty else []
            names.append(WORKSPACE)
        if WORKSPACE in names:
            names = [WORKSPACE, *(name for name in names if name != WORKSPACE)]
        found = [] if finder.is_before_first(names) else [finder.resolve(one) for one in dict.fromkeys(names)]
        _run(client, terminal, found, flags)


@plots.command("templates", cls=Command)
@click.argument("template", required=False)
@click.pass_obj
def templates(settings: Settings, template: str | None) -> None:
    """List the templates, or print one."""
    terminal = Terminal(settings)
    if template is None:
        for name in TEMPLATES:
            terminal.answer(name)
        return
    if template not in TEMPLATES:
        raise ClientError(f"Unexpected template: {template}.", hint="`wherry plots templates` lists them")
    tell_json(terminal, TEMPLATES[template]())


def _run(client: Client, terminal: Terminal, revisions: Sequence[Revision], flags: dict[str, Any]) -> None:
    if flags["show_vega"] and (len(flags["targets"]) != 1 or flags["as_json"]):
        raise click.UsageError("--show-vega takes exactly one target, and no --json")
    project = client.project
    here = project.root / project.folder
    given = {name: flags[name] for name in _PROPERTIES if flags[name] is not None}
    gathered = Gatherer(project, client.revisions()).gather(
        revisions, Wish(targets=flags["targets"], properties=given)
    )
    rendered = combine(gathered, project.root / ".dvc" / "plots", here)
    _tell_errors(terminal, gathered, rendered)
    contents = client.revisions().contents(image.digest for one in rendered for image in one.images)
    if flags["as_json"]:
        target = here / flags["out"] if flags["out"] else None
        url = _written(target, contents) if target else lambda image: inlined(contents[image.digest.hash])
        tell_json(terminal, to_json(rendered, gathered, url, split=flags["split"]))
        return
    if flags["show_vega"]:
        drawn = [one.plot for one in rendered if one.plot is not None]
        if drawn:
            tell_json(terminal, fill(drawn[0])[0] if drawn[0].rows else {})
        return
    if not rendered:
        asked = f" for {', '.join(flags['targets'])}" if flags["targets"] else ""
        terminal.warn(f"no plots were found{asked}; no page is written")
        terminal.tell("  hint: plots are declared in dvc.yaml, under `plots` of a stage or of the file")
        return
    said = find_plots_settings(project.root, os.environ)
    folder = _folder(here, flags["out"] or said.get("out_dir", ""))
    if flags["kind"] != "html":
        _draw(terminal, folder, rendered, contents, kind=flags["kind"])
        return
    page = write_page(
        f"{project.name}: plots",
        rendered,
        lambda image: inlined(contents[image.digest.hash]),
        template=_template(flags["html_template"] or said.get("html_template")),
    )
    file = _write(folder / "index.html", page.encode())
    terminal.answer(file.as_uri())
    if flags["open_"] or said.get("auto_open", "").lower() == "true":
        webbrowser.open(file.as_uri())


def _tell_errors(terminal: Terminal, gathered: Sequence[RevisionPlots], rendered: Sequence[Rendered]) -> None:
    for one in gathered:
        if one.error:
            terminal.warn(f"{one.revision}: {one.error['msg']}")
    for plot in rendered:
        for error in plot.errors:
            terminal.warn(f"{plot.name}, {error['rev']}: {error['msg']}")


def _written(folder: Path, contents: Mapping[str, bytes]) -> Callable[[Image], str]:
    """Write images into a folder, under DVC's names."""

    def write(image: Image) -> str:
        name = f"{image.revision}_{image.file}".replace(os.sep, "_").replace("/", "_")
        path = folder / posixpath.basename(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[image.digest.hash])
        except OSError as exc:
            raise cannot_write(path, exc) from exc
        return str(path.absolute())

    return write


def _draw(
    terminal: Terminal,
    folder: Path,
    rendered: Sequence[Rendered],
    contents: Mapping[str, bytes],
    *,
    kind: "Format",
) -> None:
    """Write a file for each plot; images are written as they are."""
    from wherry.client.plots.drawing import draw  # noqa: PLC0415 - it needs an extra

    for name, content in draw(rendered, kind):
        terminal.answer(str(_write(folder / name, content)))
    url = _written(folder, contents)
    for image in (image for one in rendered for image in one.images):
        terminal.answer(url(image))


def _folder(here: Path, named: str) -> Path:
    """Where pages go. That for which nobody named a place is kept out of git, and so out of what is submitted."""
    folder = here / (named or _USUAL_FOLDER)
    ignored = folder / ".gitignore"
    if not named and not ignored.exists() and not (folder / "index.html").exists():
        _write(ignored, b"# Made by `wherry plots`.\n*\n")
    return folder


def _template(file: str | os.PathLike[str] | None) -> str:
    """Read the page of the user's: named in the command, or in DVC's settings."""
    try:
        return Path(file).read_text(encoding="utf-8") if file else ""
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text in UTF-8"
        raise FileTrouble(
            f"cannot read the page for plots {file}: {why}",
            hint="--html-template names it, or html_template under [plots] in .dvc/config, from the folder .dvc",
        ) from exc


def _write(file: Path, content: bytes) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as exc:
        raise cannot_write(file, exc) from exc
    return file.resolve()
