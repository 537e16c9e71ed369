"""`wherry params`."""

from typing import Any

import click

from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.tabulating import (
    json_flag,
    markdown_flag,
    optional_targets,
    tell_failed,
    tell_json,
    tell_table,
)
from wherry.client.comparing import DiffStyle, compare, diff_rows, failed_revisions
from wherry.client.revisions import Which, from_root, seen_from


@click.group()
def params() -> None:
    """Compare parameters between commits, runs and the workspace."""


@params.command("diff", cls=Command)
@click.argument("a_rev", default="HEAD")
@click.argument("b_rev", default="workspace")
@optional_targets("params")
@click.option("--all", "unchanged", is_flag=True, help="Show unchanged params too.")
@click.option("--deps", is_flag=True, help="Show only params that stages depend on.")
@json_flag
@markdown_flag
@click.option("--no-path", is_flag=True, help="Leave the column of paths out.")
@click.pass_obj
def diff(settings: Settings, /, **flags: Any) -> None:
    """Compare parameters between two revisions, HEAD and the workspace unless they are named.

    A revision is a name that git knows; else the number or name of a run. run:12 is the run in any case.
    """
    with open_session(settings) as (client, terminal):
        project, revisions = client.project, client.revisions()
        names = (flags["a_rev"], flags["b_rev"])
        results = revisions.gather(
            Which(names=names),
            "params",
            targets=from_root(project, flags["targets"]),
            stage_params_only=flags["deps"],
            tell=terminal.warn,
        )
        old, new = (results.get(name, {}) for name in names)
        changes = compare(old.get("data", {}), new.get("data", {}), unchanged=flags["unchanged"])
        changes = seen_from(project, changes)
        tell_failed(terminal, "params", failed_revisions({name: results.get(name, {}) for name in names}))
        if flags["as_json"]:
            tell_json(terminal, changes)
            return
        style = DiffStyle(
            title="Param",
            old_name=names[0],
            new_name=names[1],
            with_path=not flags["no_path"],
            with_change=False,
        )
        tell_table(terminal, *diff_rows(changes, style), markdown=flags["markdown"])
