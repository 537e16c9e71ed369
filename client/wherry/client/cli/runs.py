"""`wherry ps`, `show`, `logs`, `attach`, `wait`, `stop`: runs that exist."""

import json
import sys
import time
from collections.abc import Iterator, Sequence

import click

from wherry.client.cli import exits, interrupts
from wherry.client.cli.finishing import bring_back, finish, run_exit_code
from wherry.client.cli.following import detached_line, stage_words, summary_line, usage_words
from wherry.client.cli.repro import watch_to_end
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal, output_text, plain, table
from wherry.client.cli.undeclared import undeclared_in, undeclared_lines
from wherry.client.cli.units import duration_words
from wherry.client.client import Client
from wherry.client.documents import log_line_document, run_document, run_seconds, runs_document, state_word
from wherry.client.errors import NotInProject
from wherry.client.project import Project
from wherry.client.run import Pulled
from wherry.client.watching import ENDED
from wherry.v1.runs_pb2 import CACHE_USE_HIT, Run, StageRecord

_USED = ("USED BY", "CPU", "MEMORY", "READ", "WRITTEN")


@click.command(cls=Command)
@click.option("-a", "--all", "every", is_flag=True, help="Of all projects.")
@click.option(
    "-n", "--number", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.runs/1.")
@click.pass_obj
def ps(settings: Settings, every: bool, number: int, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """List runs, newest first.

    Those of the project here; outside a project, of all.
    """
    with open_session(settings) as (client, terminal):
        project = None if every else project_here(client)
        runs = [run.record for run in client.runs(project=project.name if project else "", limit=number)]
        if as_json:
            terminal.document(runs_document(runs))
            return
        if not runs:
            where = f" of project {project.name}" if project is not None else ""
            terminal.note(f"There is no run{where} yet: `wherry repro` in a DVC project submits one.")
        rows = [_row(run) for run in runs]
        for line in table(("RUN", "NAME", "STATE", "TIME", "USER", "PROJECT"), rows, width=terminal.width):
            terminal.answer(line)


@click.command(cls=Command)
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.run/1.")
@click.pass_obj
def show(settings: Settings, run: str, as_json: bool) -> None:  # noqa: FBT001
    """Show one run and its stages.

    RUN is a number or a name; of several with one name the newest is meant.
    """
    with open_session(settings) as (client, terminal):
        found = client.run(run).record
        if as_json:
            terminal.document(run_document(found))
            return
        for line in _run_lines(found):
            terminal.answer(line)
        seen = client.stage_names(found).seen
        rows = [
            (plain(seen(stage.name)), stage_words(stage) or state_word(stage.state)) for stage in found.stages
        ]
        for line in table(("STAGE", "STATE"), rows, width=terminal.width):
            terminal.answer(line)
        used = [row for stage in found.stages for row in _usage_rows(plain(seen(stage.name)), stage)]
        if used:
            terminal.answer("")
            for line in table(*_counted(_USED, used), width=terminal.width):
                terminal.answer(line)
        for line in undeclared_lines(undeclared_in(found, hits=True), client.stage_names(found)):
            terminal.answer(line)
        if found.HasField("error"):
            terminal.answer("")
            terminal.answer(f"error: {plain(found.error.message)}")
            if found.error.hint:
                terminal.answer(f"  hint: {plain(found.error.hint)}")


@click.command(cls=Command)
@click.argument("run")
@click.argument("stage", required=False, default="")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.log-line/1, one document a line.")
@click.pass_obj
def logs(settings: Settings, run: str, stage: str, follow: bool, as_json: bool) -> int:  # noqa: FBT001, PLR0917
    """Print what the stages of a run wrote.

    Of STAGE alone, or of all with the stage's name before each line. Ctrl-C ends the following, not the run.
    """
    with open_session(settings) as (client, terminal):
        color = terminal.colors(sys.stdout)
        try:
            with interrupts.told_as_such():
                found = client.run(run).record
                names = client.stage_names(found)
                wanted = stage and names.find(stage, {known.name for known in found.stages})
                for line in client.logs(found.id, stage=wanted, follow=follow):
                    if as_json:
                        print(json.dumps(log_line_document(line)), flush=follow)
                        continue
                    prefix = "" if stage else f"{plain(names.seen(line.stage) or 'run')} | "
                    print(prefix + output_text(line.text, color=color), flush=follow)
        except KeyboardInterrupt:
            return exits.SUCCESS
        return exits.SUCCESS


@click.command(cls=Command)
@click.argument("run")
@click.option(
    "--pull",
    type=click.Choice(["none", "metrics", "all"]),
    default="metrics",
    show_default=True,
    help="Which outputs to bring back.",
)
@click.option("--no-logs", is_flag=True, help="Do not show what the stages write.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=None,
    metavar="SECONDS",
    help="Watch no longer (exit 4).",
)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.run/1 at its end.")
@click.pass_obj
def attach(  # noqa: PLR0917 - one parameter for each flag
    settings: Settings,
    run: str,
    pull: Pulled,
    no_logs: bool,  # noqa: FBT001
    timeout: float | None,
    as_json: bool,  # noqa: FBT001
) -> int:
    """Watch a run that is under way, as `wherry repro` does.

    In a folder of the run's project its results are brought back at the end; elsewhere it is only watched.
    """
    with open_session(settings) as (client, terminal):
        found = client.run(run).record
        ended = watch_to_end(client, terminal, found, logs=not no_logs, timeout=timeout)
        if ended is None:
            return exits.SUCCESS
        project = project_here(client)
        at_home = project is not None and project.name == ended.project
        if at_home:
            bring_back(terminal, client, ended, pull=pull)
        root = project.root if project is not None and at_home else None
        return finish(terminal, client, ended, root=root, as_json=as_json, logs_shown=not no_logs)


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=None,
    metavar="SECONDS",
    help="Wait no longer (exit 4).",
)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.runs/1 at the end.")
@click.pass_obj
def wait(settings: Settings, runs: tuple[str, ...], timeout: float | None, as_json: bool) -> int:  # noqa: FBT001
    """Wait until runs have ended.

    The exit code is that of the first run, in the order given, that did not succeed.
    """
    with open_session(settings) as (client, terminal):
        ended = _wait_for(client, terminal, runs, timeout)
        if ended is None:
            return exits.SUCCESS
        if as_json:
            terminal.document(runs_document(ended))
        elif not settings.quiet:
            for run in ended:
                terminal.answer(summary_line(run))
        return next((code for code in map(run_exit_code, ended) if code), exits.SUCCESS)


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.runs/1: the runs as they were then.")
@click.pass_obj
def stop(settings: Settings, runs: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Stop runs.

    Returns at once; `wherry wait` waits for the end. Harmless for a run that has ended.
    """
    with open_session(settings) as (client, terminal):
        stopped = []
        for name in runs:
            run = client.stop(name).record
            stopped.append(run)
            if as_json:
                continue
            if run.state in ENDED:
                terminal.note(f"Run {run.id} had ended already: {state_word(run.state)}.")
            else:
                terminal.note(f"Run {run.id} is being stopped.")
        if as_json:
            terminal.document(runs_document(stopped))


def project_here(client: Client) -> Project | None:
    """Return the project around the folder, None outside of one."""
    try:
        return client.project
    except NotInProject:
        return None


def _wait_for(
    client: Client, terminal: Terminal, names: Sequence[str], timeout: float | None
) -> list[Run] | None:
    deadline = time.monotonic() + timeout if timeout is not None else None
    ended = []
    # A typing error in the last name should not show only after hours.
    for run in [client.run(name).record for name in names]:
        try:
            left = max(0.0, deadline - time.monotonic()) if deadline is not None else None
            with interrupts.told_as_such():
                if run.state not in ENDED:
                    for _ in client.watch(run.id, logs=False, timeout=left):
                        pass
                ended.append(client.run(run.id).record)
        except KeyboardInterrupt:
            terminal.note(detached_line(run))
            return None
    return ended


def _row(run: Run) -> tuple[str, ...]:
    seconds = run_seconds(run)
    return (
        run.id,
        plain(run.name),
        state_word(run.state),
        duration_words(seconds) if seconds is not None else "-",
        plain(run.user) or "-",
        plain(run.project),
    )


def _counted(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> tuple[list[str], list[list[str]]]:
    """Leave out the columns of what this machine counts for nobody."""
    kept = [index for index in range(len(header)) if any(row[index] != "-" for row in rows)]
    return [header[index] for index in kept], [[row[index] for index in kept] for row in rows]


def _usage_rows(name: str, stage: StageRecord) -> Iterator[tuple[str, ...]]:
    for number, earlier in enumerate(stage.earlier, 1):
        yield f"{name}, attempt {number}: {plain(earlier.reason)}", *usage_words(earlier)
    if stage.HasField("usage"):
        # Of a hit nothing was used now.
        is_hit = stage.cache == CACHE_USE_HIT
        which = f", attempt {len(stage.earlier) + 1}" if stage.earlier else ""
        yield f"{name}{', when it ran' if is_hit else which}", *usage_words(stage)


def _run_lines(run: Run) -> list[str]:
    rev = f" at {plain(run.rev)[:12]}{' (changed)' if run.dirty else ''}" if run.rev else ""
    by = f"by {plain(run.user) or 'unknown'}, {run.created_at.ToJsonString()}"
    lines = [
        f"Run {run.id} {plain(run.name)}: {state_word(run.state)}",
        f"Project {plain(run.project)}{rev}, {by}",
    ]
    if run.message:
        lines.append(plain(run.message))
    if run.labels:
        lines.append(
            "Labels: " + ", ".join(f"{plain(key)}={plain(run.labels[key])}" for key in sorted(run.labels))
        )
    if run.state in ENDED:
        lines.append(summary_line(run))
    return [*lines, ""]
