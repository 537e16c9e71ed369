"""`wherry repro`."""

from typing import Any

import click

from wherry.client.cli import exits, interrupts
from wherry.client.cli.finishing import bring_back, finish
from wherry.client.cli.follower import follower_for
from wherry.client.cli.following import detached_line, submitted_line
from wherry.client.cli.plan import tell_plan
from wherry.client.cli.run_flags import RunFlags, run_parameters
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal
from wherry.client.client import Client
from wherry.client.documents import run_document
from wherry.client.heard_run import HeardRun
from wherry.client.selection import Selection
from wherry.client.watching import Watcher
from wherry.v1.runs_pb2 import Run


@click.command(cls=Command, params=run_parameters())
@click.pass_obj
def repro(settings: Settings, /, **flags: Any) -> int:
    """Reproduce stages: submit the project, watch the run, bring results back.

    TARGETS are stages in DVC's grammar; without any, all stages of dvc.yaml here. Ctrl-C while watching
    detaches: the run goes on.
    """
    given = RunFlags(**flags)
    with open_session(settings) as (client, terminal):
        return reproduce(client, terminal, given, given.selection())


def reproduce(client: Client, terminal: Terminal, flags: RunFlags, selection: Selection) -> int:
    """Submit one run, and do with it what the flags say; returns the exit code."""
    project = client.project
    with client.at_rev(flags.rev) as source:
        if flags.dry:
            plan = source.status(selection, force=flags.force or flags.no_run_cache)
            tell_plan(terminal, plan, client.stage_names(), as_json=flags.as_json)
            return exits.SUCCESS
        run = source.submit(selection, flags.options()).record
    if flags.detach:
        return tell_detached(terminal, run, as_json=flags.as_json)
    terminal.note(submitted_line(run, width=terminal.width))
    ended = watch_to_end(client, terminal, run, logs=not flags.no_logs, timeout=flags.timeout)
    if ended is None:
        if flags.as_json:
            terminal.document(client.run(run.id).to_dict())
        return exits.SUCCESS
    if not flags.rev:  # what is of another commit is not mixed with what is here
        bring_back(terminal, client, ended, pull=flags.pull)
    return finish(
        terminal,
        client,
        ended,
        root=None if flags.rev else project.root,
        as_json=flags.as_json,
        logs_shown=not flags.no_logs,
    )


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
        heard = HeardRun(run)
        watcher = Watcher(client.connection, run.id, logs=shown, notes=False)
        with interrupts.told_as_such():
            follower_for(terminal, run, client.stage_names(run)).follow(
                heard.listen(watcher.events(timeout=timeout))
            )
            return heard.ended() or client.run(run.id).record
    except KeyboardInterrupt:
        terminal.note("")
        terminal.note(detached_line(run))
        return None


def tell_detached(terminal: Terminal, run: Run, *, as_json: bool) -> int:
    """Say that a run is accepted and goes on, and how to come back; returns the exit code."""
    if as_json:
        terminal.document(run_document(run))
    else:
        terminal.note(submitted_line(run, width=0).splitlines()[0])
        # The answer of a detached submission is the name to come back by.
        terminal.answer(run.id)
        terminal.note(detached_line(run))
    return exits.SUCCESS
