"""`wherry metrics`."""

from typing import Any

import click

from wherry.client.cli.changes import tell_changes
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.tabulating import (
    DEFAULT_PRECISION,
    json_flag,
    markdown_flag,
    optional_targets,
    precision_option,
    revision_flags,
    tell_failed,
    tell_json,
    tell_table,
)
from wherry.client.comparing import DiffStyle, failed_revisions, metrics_rows
from wherry.client.revisions import Which, from_root, hide_workspace, seen_from

_recursive = click.option(
    "-R", "--recursive", is_flag=True, help="Taken for DVC's sake: folders are always searched."
)


@click.group()
def metrics() -> None:
    """Show metrics, and compare them between commits, runs and the workspace."""


@metrics.command("show", cls=Command)
@click.argument("targets", nargs=-1, type=click.Path())
@revision_flags("Show metrics of")
@json_flag
@markdown_flag
@_recursive
@precision_option
@click.pass_obj
def show(settings: Settings, /, **flags: Any) -> None:
    """Show the metrics of the project, or of branches, tags and commits.

    TARGETS are files or folders, whether or not they are declared as metrics.
    """
    which = Which(
        all_branches=flags["all_branches"], all_tags=flags["all_tags"], all_commits=flags["all_commits"]
    )
    with open_session(settings) as (client, terminal):
        project, revisions = client.project, client.revisions()
        targets = from_root(project, flags["targets"])
        results = revisions.gather(which, "metrics", targets=targets, tell=terminal.warn)
        if which:
            hide_workspace(results, revisions.git.branch())
        results = {
            name: {**result, "data": seen_from(project, result["data"])} if "data" in result else result
            for name, result in results.items()
        }
        tell_failed(terminal, "metrics", failed_revisions(results))
        if flags["as_json"]:
            tell_json(terminal, results)
            return
        table = metrics_rows(
            results, with_revision=bool(which), precision=flags["precision"] or DEFAULT_PRECISION
        )
        tell_table(terminal, *table, markdown=flags["markdown"])


@metrics.command("diff", cls=Command)
@click.argument("a_rev", default="HEAD")
@click.argument("b_rev", default="workspace")
@optional_targets("metrics")
@_recursive
@click.option("--all", "unchanged", is_flag=True, help="Show unchanged metrics too.")
@json_flag
@markdown_flag
@click.option("--no-path", is_flag=True, help="Leave the column of paths out.")
@precision_option
@click.pass_obj
def diff(settings: Settings, /, **flags: Any) -> None:
    """Compare metrics between two revisions, HEAD and the workspace unless they are named.

    A revision is a name that git knows; else the number or name of a run. run:12 is the run in any case.
    """
    style = DiffStyle(
        title="Metric",
        old_name=flags["a_rev"],
        new_name=flags["b_rev"],
        precision=flags["precision"] or DEFAULT_PRECISION,
    )
    tell_changes(settings, "metrics", flags, style)
