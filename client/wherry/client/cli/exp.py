"""`wherry exp`, and of it `run`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from wherry.client.cli import exits
from wherry.client.cli.exp_branch import branch
from wherry.client.cli.exp_show import show
from wherry.client.cli.finishing import finish, run_exit_code
from wherry.client.cli.following import submitted_line
from wherry.client.cli.plan import tell_plan
from wherry.client.cli.repro import reproduce, watch_to_end
from wherry.client.cli.run_flags import RunFlags, run_parameters
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal, plain
from wherry.client.client import Client
from wherry.client.documents import sweep_document
from wherry.v1.runs_pb2 import Run

# The worst first.
_SEVERITY = (exits.STAGE_FAILED, exits.TRY_LATER, exits.CANCELLED)


@click.group()
def exp() -> None:
    """Run experiments: one run, or one for each combination of parameters."""


exp.add_command(show)
exp.add_command(branch)


@exp.command("run", cls=Command, params=run_parameters())
@click.option("--queue", is_flag=True, help="Only submit, and print the names of the runs.")
@click.pass_obj
def run(settings: Settings, /, *, queue: bool, **flags: Any) -> int:
    """Reproduce stages as `wherry repro` does, for each combination of parameters.

    Values of -S may be sweeps: lr=0.1,0.2, lr=range(0,1,0.25), lr=choice(0.1,0.2). There is a run for each
    combination, the first sweep varies slowest; with -n NAME they are NAME-1, NAME-2 … The runs of a sweep leave the
    project as it is: `wherry apply RUN` takes one over.

    Where .dvc/config enables Hydra, params.yaml is composed by it, as `dvc exp run` does.
    """
    given = RunFlags(**flags)
    if queue:
        given = replace(given, detach=True)
    with open_session(settings) as (client, terminal):
        combinations = client.expand_sweep(given.set_params) if given.set_params else [()]
        if len(combinations) == 1:
            given = replace(given, set_params=combinations[0])
            return reproduce(client, terminal, given, given.selection(composition="always"))
        with client.at_rev(given.rev) as source:
            return _sweep(client, terminal, given, combinations, source=source)


def _sweep(
    client: Client,
    terminal: Terminal,
    flags: RunFlags,
    combinations: Sequence[tuple[str, ...]],
    *,
    source: Client,
) -> int:
    if flags.dry and flags.as_json:
        raise click.UsageError("--dry with --json takes parameters without a sweep")
    runs: list[Run] = []
    for number, set_params in enumerate(combinations, 1):
        name = f"{flags.name}-{number}" if flags.name else ""
        one = replace(flags, set_params=set_params, name=name)
        terminal.note(f"{number} of {len(combinations)}: {plain(' '.join(set_params))}")
        if flags.dry:
            plan = source.status(one.selection(composition="always"), force=one.force or one.no_run_cache)
            tell_plan(terminal, plan, client.stage_names(), as_json=False)
            continue
        submitted = source.submit(one.selection(composition="always"), one.options()).record
        if flags.detach:
            runs.append(submitted)
            if not flags.as_json:
                terminal.answer(plain(submitted.name))
            continue
        ended = _follow(client, terminal, one, submitted)
        if ended is None:
            terminal.note(f"{len(combinations) - number} runs of the sweep are not submitted")
            break
        runs.append(ended)
    if flags.as_json:
        terminal.document(sweep_document(runs))
    return exits.SUCCESS if flags.detach else _worst(runs)


def _follow(client: Client, terminal: Terminal, flags: RunFlags, run: Run) -> Run | None:
    """Show a run until it has ended; None when Ctrl-C detached from it."""
    terminal.note(submitted_line(run, width=terminal.width))
    ended = watch_to_end(client, terminal, run, logs=not flags.no_logs, timeout=flags.timeout)
    if ended is not None and not flags.as_json:
        finish(terminal, client, ended, root=None, as_json=False, logs_shown=not flags.no_logs)
    return ended


def _worst(runs: Sequence[Run]) -> int:
    codes = {run_exit_code(run) for run in runs}
    return next((code for code in _SEVERITY if code in codes), exits.SUCCESS)
