"""`wherry exp show`."""

import re
import sys
from datetime import datetime
from typing import Any

import click

from wherry.client.cli.paging import page
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.tabulating import (
    DEFAULT_PRECISION,
    json_flag,
    markdown_flag,
    plain_cell,
    precision_option,
    revision_flags,
    tell_json,
    tell_table,
)
from wherry.client.cli.terminal import Terminal
from wherry.client.experiment_table import ExperimentTable, TableStyle, make_table
from wherry.client.experiments import Experiments, Shown
from wherry.client.revisions import Which
from wherry.client.tables import csv_table, ruled_table

# More are read page by page, but a table of them helps nobody.
_RUNS_MAX = 1000


def _pattern(_ctx: click.Context, _parameter: click.Parameter, patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as exc:
            raise click.BadParameter(f"{pattern!r} is no regular expression: {exc}") from exc
    return patterns


@click.command("show", cls=Command)
@revision_flags("Show experiments of")
@click.option(
    "--rev", "revs", multiple=True, metavar="COMMIT", help="Show experiments of this commit; HEAD by default."
)
@click.option(
    "-n", "--num", default=1, metavar="N", help="Of --rev and branches, show the last N commits; -1: all."
)
@click.option("--only-changed", is_flag=True, help="Show only columns whose values differ.")
@click.option("--drop", multiple=True, metavar="REGEX", callback=_pattern, help="Leave matching columns out.")
@click.option(
    "--keep", multiple=True, metavar="REGEX", callback=_pattern, help="Keep matching columns in any case."
)
@click.option("--param-deps", is_flag=True, help="Show only params that stages depend on.")
@click.option(
    "--sort-by", default="", metavar="NAME", help="Sort the runs of a commit by a metric or parameter."
)
@click.option(
    "--sort-order", type=click.Choice(["asc", "desc"]), default="asc", help="With --sort-by; asc by default."
)
@click.option("--sha", is_flag=True, help="Show hashes instead of the names of branches and tags.")
@click.option("--hide-failed", is_flag=True, help="Leave out runs that failed or were stopped.")
@click.option("--hide-queued", is_flag=True, help="Leave out runs that wait.")
@click.option("--hide-workspace", is_flag=True, help="Leave out the workspace.")
@click.option("--no-pager", is_flag=True, help="Print a table that is larger than the terminal, too.")
@click.option("-f", "--force", is_flag=True, help="Taken for DVC's sake: nothing old is shown.")
@json_flag
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@markdown_flag
@precision_option
@click.pass_obj
def show(settings: Settings, /, **flags: Any) -> None:
    """Show experiments: the workspace, commits, and under each commit the runs that were submitted from it.

    A run is called run:ID; metrics, params and plots of it can be asked for by that.
    """
    shown = Shown(
        which=Which(
            names=flags["revs"] or (() if _is_wide(flags) else ("HEAD",)),
            all_branches=flags["all_branches"],
            all_tags=flags["all_tags"],
            all_commits=flags["all_commits"],
            count=flags["num"],
        ),
        hide_workspace=flags["hide_workspace"],
        hide_queued=flags["hide_queued"],
        hide_failed=flags["hide_failed"],
        sha_only=flags["sha"],
        stage_params_only=flags["param_deps"],
    )
    with open_session(settings) as (client, terminal):
        name = client.project.name
        experiments = Experiments(
            client.revisions(), lambda: [run.record for run in client.runs(project=name, limit=_RUNS_MAX)]
        )
        states = experiments.show(shown)
        if flags["as_json"]:
            tell_json(terminal, states)
            return
        as_csv = flags["as_csv"]
        style = TableStyle(
            fill="" if as_csv else "-",
            iso=as_csv,
            precision=flags["precision"] or (None if as_csv else DEFAULT_PRECISION),
            today=datetime.now().astimezone().date().isoformat(),
            sort_by=flags["sort_by"],
            descending=flags["sort_order"] == "desc",
        )
        table = make_table(states, style)
        for state in states:
            if state["error"]:
                terminal.warn(f"{state['name'] or state['rev']}: {state['error']['msg']}")
        _tell(terminal, table, flags)


def _is_wide(flags: dict[str, Any]) -> bool:
    return bool(flags["all_branches"] or flags["all_tags"] or flags["all_commits"])


def _tell(terminal: Terminal, table: ExperimentTable, flags: dict[str, Any]) -> None:
    table.protect(flags["keep"])
    table.drop_empty(("State", "User", "Executor"))
    if not flags["as_csv"]:
        table.join_names()
    if flags["only_changed"]:
        table.drop_unchanged()
    table.drop_matching(flags["drop"])
    header, rows = list(table.columns), table.rows()
    if flags["as_csv"]:
        sys.stdout.write(csv_table(header, [[plain_cell(cell) for cell in row] for row in rows]))
    elif flags["markdown"]:
        tell_table(terminal, header, rows, markdown=True)
    elif rows:
        clean = [[plain_cell(cell) for cell in row] for row in rows]
        drawn = ruled_table(header, clean, right=set(table.metrics))
        if flags["no_pager"]:
            terminal.answer(drawn)
        else:
            page(drawn)
