"""`wherry stage add`."""

import posixpath
import shlex

import click

from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.editing import NewOutput, NewStage

# Flags, kind, cache, persist.
_OUTPUTS = (
    (("-o", "--outs"), "out", True, False, "An output."),
    (("-O", "--outs-no-cache"), "out", False, False, "An output that DVC does not keep."),
    (("--outs-persist",), "out", True, True, "An output that stays when the stage starts again."),
    (("--outs-persist-no-cache",), "out", False, True, "Such an output that DVC does not keep."),
    (("-m", "--metrics"), "metric", True, False, "A file of metrics."),
    (("-M", "--metrics-no-cache"), "metric", False, False, "A file of metrics that DVC does not keep."),
    (("--plots",), "plot", True, False, "A file for plots."),
    (("--plots-no-cache",), "plot", False, False, "A file for plots that DVC does not keep."),
)


@click.group()
def stage() -> None:
    """Edit the stages of dvc.yaml."""


def _output_options() -> list[click.Parameter]:
    return [
        click.Option([*flags], multiple=True, metavar="PATH", help=words)
        for flags, _, _, _, words in _OUTPUTS
    ]


@stage.command(
    "add",
    cls=Command,
    params=_output_options(),
    # The first word that is no flag begins the command, and all that follows belongs to it.
    context_settings={"allow_interspersed_args": False},
)
@click.option("-n", "--name", required=True, help="Name of the stage.")
@click.option("-d", "--deps", multiple=True, metavar="PATH", help="A file or folder that it reads.")
@click.option(
    "-p",
    "--params",
    multiple=True,
    metavar="[FILE:]KEYS",
    help="Parameters, with commas; FILE: is the whole file.",
)
@click.option("-w", "--wdir", default="", metavar="FOLDER", help="Where it runs; paths are relative to that.")
@click.option("--always-changed", is_flag=True, help="Run it every time.")
@click.option("--desc", default="", metavar="TEXT", help="What it does, for people.")
@click.option("-f", "--force", is_flag=True, help="Replace a stage of that name.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.stage-added/1.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def add(  # noqa: PLR0913, PLR0917 - one parameter for each flag of DVC's
    settings: Settings,
    /,
    name: str,
    deps: tuple[str, ...],
    params: tuple[str, ...],
    wdir: str,
    always_changed: bool,  # noqa: FBT001 - click passes flags by name
    desc: str,
    force: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    command: tuple[str, ...],
    **outputs: tuple[str, ...],
) -> None:
    """Add a stage to the dvc.yaml here, as `dvc stage add` does.

    COMMAND is what it runs: one argument with the whole of it, or its words. Nothing runs now.
    """
    new = NewStage(
        name=name,
        command=command,
        wdir=wdir,
        deps=deps,
        params=params,
        outs=[
            NewOutput(path=path, kind=kind, cache=cache, persist=persist)
            for flags, kind, cache, persist, _ in _OUTPUTS
            for path in outputs[flags[-1].lstrip("-").replace("-", "_")]
        ],
        always_changed=always_changed,
        desc=desc,
    )
    with open_session(settings) as (client, terminal):
        edited = client.add_stage(new, force=force)
        here = client.project.folder or "."
        files = [posixpath.relpath(path, here) for path in (edited.pipeline_file, *edited.git_ignores)]
        if as_json:
            terminal.document(
                {
                    "schema": "wherry.stage-added/1",
                    "name": name,
                    "file": edited.pipeline_file,
                    "git_ignores": list(edited.git_ignores),
                }
            )
        elif not settings.quiet:
            terminal.answer(f"Added stage {name!r} in {files[0]!r}")
        if client.project.git_root is not None:
            terminal.note(f"git add {shlex.join(files)}   tracks the change")
