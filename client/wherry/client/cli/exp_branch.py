"""`wherry exp branch`."""

import click

from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import plain
from wherry.client.errors import Refused
from wherry.client.watching import ENDED


@click.command("branch", cls=Command)
@click.argument("run")
@click.argument("branch", required=False)
@click.option("-f", "--force", is_flag=True, help="Replace a branch of this name.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.branch/1.")
@click.pass_obj
def branch(  # noqa: PLR0917 - one parameter for each flag
    settings: Settings,
    run: str,
    branch: str | None,
    force: bool,  # noqa: FBT001 - click passes flags by name
    as_json: bool,  # noqa: FBT001
) -> None:
    """Make a git branch of a run: its sources, params, dvc.lock and uncached outputs, on the commit it came from.

    Without BRANCH it is called NAME-branch, after the run. The workspace is not touched.
    """
    with open_session(settings) as (client, terminal):
        found = client.run(run).record
        if found.state not in ENDED:
            raise Refused(
                f"run {found.id} has not ended",
                hint=f"`wherry wait {found.id}` waits for it",
                reason="RUN_ACTIVE",
            )
        if found.project != client.project.name:
            raise Refused(
                f"run {found.id} is of project {found.project}, this is {client.project.name}",
                hint="go to a clone of that project",
                reason="OTHER_PROJECT",
            )
        made = client.revisions().branch(found, branch or f"{found.name}-branch", force=force)
        if as_json:
            terminal.document(
                {"schema": "wherry.branch/1", "branch": made.branch, "run": found.id, "files": made.files}
            )
            return
        name = plain(made.branch)
        terminal.answer(
            f"Git branch '{name}' has been created from run {found.id} ({plain(found.name)}),"
            f" {made.files} file{'' if made.files == 1 else 's'} changed."
        )
        terminal.note(f"To switch to it: git checkout {name}")
