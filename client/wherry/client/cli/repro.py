"""`wherry repro`."""

import click

from wherry.client.cli import exits
from wherry.client.cli.finishing import bring_back, finish
from wherry.client.cli.following import RunFollower, detached_line, submitted_line
from wherry.client.cli.plan import tell_plan
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal
from wherry.client.client import Client
from wherry.client.documents import run_document
from wherry.client.submission import RunOptions, Selection
from wherry.v1.runs_pb2 import Run


@click.command(cls=Command)
@click.argument("targets", nargs=-1)
@click.option("-f", "--force", is_flag=True, help="Run every selected stage, whatever is known.")
@click.option("-s", "--single-item", is_flag=True, help="Only the targets, not what they depend on.")
@click.option("-p", "--pipeline", is_flag=True, help="All that is connected with the targets.")
@click.option("-P", "--all-pipelines", is_flag=True, help="All stages of the project.")
@click.option("-R", "--recursive", is_flag=True, help="A target may be a folder: all stages below it.")
@click.option("--glob", is_flag=True, help="Names of targets are shell patterns.")
@click.option("--downstream", is_flag=True, help="The targets and what depends on them.")
@click.option(
    "--force-downstream", is_flag=True, help="Run what depends on a stage that was not up to date, too."
)
@click.option("-k", "--keep-going", is_flag=True, help="Go on with stages that do not need a failed one.")
@click.option("--dry", is_flag=True, help="Only show what would happen.")
@click.option("--no-run-cache", is_flag=True, help="Do not look for known results; keep new ones.")
@click.option(
    "-S", "--set-param", "set_params", multiple=True, metavar="[FILE:]KEY=VAL", help="Change a parameter."
)
@click.option("-n", "--name", default="", help="Name of the run. Default: one is made up.")
@click.option("-m", "--message", default="", help="A note for people.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), default=None, help="At most so many stages at once."
)
@click.option("--image", default="", help="Container image for every stage.")
@click.option(
    "--pull",
    type=click.Choice(["none", "metrics", "all"]),
    default="metrics",
    show_default=True,
    help="Which outputs to bring back: none, metrics and all else that DVC does not cache, or all.",
)
@click.option("-d", "--detach", is_flag=True, help="Return once the run is accepted; it goes on.")
@click.option("--no-logs", is_flag=True, help="Do not show what the stages write.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=None,
    metavar="SECONDS",
    help="Watch no longer (exit 4).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON (wherry.run/1) at its end.")
@click.pass_obj
def repro(  # noqa: PLR0913, PLR0917 - one parameter for each flag of the contract
    settings: Settings,
    targets: tuple[str, ...],
    force: bool,  # noqa: FBT001 - click passes flags by name
    single_item: bool,  # noqa: FBT001
    pipeline: bool,  # noqa: FBT001
    all_pipelines: bool,  # noqa: FBT001
    recursive: bool,  # noqa: FBT001
    glob: bool,  # noqa: FBT001
    downstream: bool,  # noqa: FBT001
    force_downstream: bool,  # noqa: FBT001
    keep_going: bool,  # noqa: FBT001
    dry: bool,  # noqa: FBT001
    no_run_cache: bool,  # noqa: FBT001
    set_params: tuple[str, ...],
    name: str,
    message: str,
    jobs: int | None,
    image: str,
    pull: str,
    detach: bool,  # noqa: FBT001
    no_logs: bool,  # noqa: FBT001
    timeout: float | None,
    as_json: bool,  # noqa: FBT001
) -> int:
    """Reproduce stages: submit the project, watch the run, bring results back.

    TARGETS are stages in DVC's grammar; without any, all stages of dvc.yaml here. Ctrl-C while watching
    detaches: the run goes on.
    """
    selection = Selection(
        targets=targets,
        glob=glob,
        recursive=recursive,
        single_item=single_item,
        whole_pipelines=pipeline,
        all_pipelines=all_pipelines,
        downstream=downstream,
        force_downstream=force_downstream,
        set_params=set_params,
        image=image,
    )
    options = RunOptions(
        name=name,
        message=message,
        force=force,
        no_run_cache=no_run_cache,
        keep_going=keep_going,
        jobs=jobs or 0,
    )
    with open_session(settings) as (client, terminal):
        project = client.project
        if dry:
            plan = client.plan(selection, force=force or no_run_cache)
            tell_plan(terminal, plan, client.stage_names(), as_json=as_json)
            return exits.SUCCESS
        run = client.submit(selection, options)
        if detach:
            return _detached(terminal, run, as_json=as_json)
        terminal.note(submitted_line(run, width=terminal.width))
        ended = watch_to_end(client, terminal, run, logs=not no_logs, timeout=timeout)
        if ended is None:
            if as_json:
                terminal.document(run_document(client.run(run.id)))
            return exits.SUCCESS
        bring_back(terminal, client, ended, pull=pull)
        return finish(terminal, client, ended, root=project.root, as_json=as_json, logs_shown=not no_logs)


def watch_to_end(
    client: Client, terminal: Terminal, run: Run, *, logs: bool, timeout: float | None
) -> Run | None:
    """Show a run until it has ended, and return it with its stages; None when Ctrl-C detached from it.

    Raises:
        TimeLimitPassed: when `timeout` seconds are over.
    """
    # Output that nobody is shown need not travel.
    shown = logs and not terminal.quiet
    try:
        RunFollower(terminal, run, client.stage_names(run)).follow(
            client.watch(run.id, logs=shown, timeout=timeout)
        )
        return client.run(run.id)
    except KeyboardInterrupt:
        terminal.note("")
        terminal.note(detached_line(run))
        return None


def _detached(terminal: Terminal, run: Run, *, as_json: bool) -> int:
    if as_json:
        terminal.document(run_document(run))
    else:
        terminal.note(submitted_line(run, width=0).splitlines()[0])
        # The answer of a detached submission is the name to come back by.
        terminal.answer(run.id)
        terminal.note(detached_line(run))
    return exits.SUCCESS
