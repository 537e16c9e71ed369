"""`wherry status`: what would happen, with nothing run."""

from collections.abc import Iterable

import click

from wherry.client.answers import Status
from wherry.client.cli import exits
from wherry.client.cli.dvc_status import tell_lock_status
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal, plain, table
from wherry.client.documents import decision_word
from wherry.client.selection import Selection
from wherry.client.stage_names import StageNames

_NAMES_SHOWN = 3


@click.command(cls=Command)
@click.argument("targets", nargs=-1)
@click.option("-P", "--all-pipelines", is_flag=True, help="All stages of the project.")
@click.option("--dvc", "as_dvc", is_flag=True, help="Compare with dvc.lock and answer as `dvc status` does.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.plan/1; with --dvc, DVC's own JSON.")
@click.pass_obj
def status(  # noqa: PLR0917 - one parameter for each flag
    settings: Settings,
    targets: tuple[str, ...],
    all_pipelines: bool,  # noqa: FBT001 - click passes flags by name
    as_dvc: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> int:
    """Show what `wherry repro` would do, and why; nothing runs.

    With -v reasons are whole, and the settings that count for each stage are shown with where they are said.

    With -q nothing is printed, and the exit code is 1 if anything would run.

    With --dvc the project is compared with its dvc.lock files instead, as `dvc status` does, with one
    difference: what is not in the project counts as it is recorded if the store holds it, so a clone without
    data is up to date. DVC's cache on this machine is not looked at: nothing is "not in cache".
    """
    with open_session(settings) as (client, terminal):
        if as_dvc:
            compared = client.lock_status(Selection(targets=targets))
            return tell_lock_status(terminal, compared, client.stage_names(), as_json=as_json)
        found = client.status(Selection(targets=targets, output_targets=True, all_pipelines=all_pipelines))
        if as_json or not settings.quiet:
            tell_plan(terminal, found, client.stage_names(), as_json=as_json)
        return exits.STAGE_FAILED if settings.quiet and found.has_work else exits.SUCCESS


def tell_plan(terminal: Terminal, found: Status, names: StageNames, *, as_json: bool) -> None:
    """Print a plan, as JSON with names from the DVC root or as a table with names as seen here."""
    if as_json:
        terminal.document(found.to_dict())
        return
    plan = found.record
    words = [decision_word(stage.decision) for stage in plan.stages]
    rows = [
        (plain(names.seen(stage.name)), word, plain("; ".join(stage.reasons)))
        for stage, word in zip(plan.stages, words, strict=True)
    ]
    # -v shows reasons whole; otherwise a line is a line.
    width = 100_000 if terminal.verbosity else terminal.width
    lines = table(("NAME", "DECISION", "REASON"), rows, width=width)
    terminal.answer(lines[0])
    for (name, _, _), word, line, stage in zip(rows, words, lines[1:], plan.stages, strict=True):
        head, tail = line[: len(name)], line[len(name) :]
        terminal.answer(head + tail.replace(word, terminal.paint(word, word), 1))
        for setting in stage.settings if terminal.verbosity else ():
            terminal.answer(f"    {setting.name} = {plain(setting.value)}   ({plain(setting.origin)})")
    if not terminal.verbosity:
        _tell_invalid(terminal, rows)


def _tell_invalid(terminal: Terminal, rows: Iterable[tuple[str, str, str]]) -> None:
    """Say what is wrong with stages that cannot run: a line of the table is too short for it."""
    stages: dict[str, list[str]] = {}
    for name, word, reason in rows:
        if word == "invalid":
            stages.setdefault(reason, []).append(name)
    for reason, names in stages.items():
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        terminal.warn(f"{', '.join(names[:_NAMES_SHOWN])}{more}: {reason}")
