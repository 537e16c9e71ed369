"""`wherry params`."""

from typing import Any

import click

from wherry.client.cli.changes import tell_changes
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.tabulating import (
    json_flag,
    markdown_flag,
    optional_targets,
)
from wherry.client.comparing import DiffStyle


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
    style = DiffStyle(
        title="Param",
        old_name=flags["a_rev"],
        new_name=flags["b_rev"],
        with_change=False,
    )
    tell_changes(settings, "params", flags, style, stage_params_only=flags["deps"])
