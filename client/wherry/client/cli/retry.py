"""`wherry retry`: a run once more."""

import click

from wherry.client.cli import exits
from wherry.client.cli.finishing import bring_back, finish
from wherry.client.cli.following import submitted_line
from wherry.client.cli.repro import tell_detached, watch_to_end
from wherry.client.cli.runs import project_here
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings


@click.command(cls=Command)
@click.argument("run")
@click.option(
    "--from",
    "from_stage",
    multiple=True,
    metavar="STAGE",
    help="Run this stage whatever is known, and all that depend on it.",
)
@click.option("-n", "--name", default="", help="Name of the new run. Default: one is made up.")
@click.option("-d", "--detach", is_flag=True, help="Return once the run is accepted; it goes on.")
@click.option("--no-logs", is_flag=True, help="Do not show what the stages write.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.run/1 of the new run at its end.")
@click.pass_obj
def retry(  # noqa: PLR0917 - one parameter for each flag
    settings: Settings,
    run: str,
    from_stage: tuple[str, ...],
    name: str,
    detach: bool,  # noqa: FBT001 - click passes flags by name
    no_logs: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> int:
    """Submit a run once more, as it was submitted: what succeeded is used, the rest runs.

    It is the project of then, not that of the folder; nothing is uploaded. In a folder of the run's project its
    results are brought back at the end, as by `wherry attach`.
    """
    with open_session(settings) as (client, terminal):
        before = client.run(run).record
        names, known = client.stage_names(before), {stage.name for stage in before.stages}
        stages = [names.find(stage, known) for stage in from_stage]
        new = client.retry(before.id, from_stages=stages, name=name).record
        if detach:
            return tell_detached(terminal, new, as_json=as_json)
        terminal.note(submitted_line(new, width=terminal.width))
        ended = watch_to_end(client, terminal, new, logs=not no_logs, timeout=None)
        if ended is None:
            return exits.SUCCESS
        project = project_here(client)
        root = project.root if project is not None and project.name == ended.project else None
        if root is not None:
            bring_back(terminal, client, ended, pull="metrics")
        return finish(terminal, client, ended, root=root, as_json=as_json, logs_shown=not no_logs)
