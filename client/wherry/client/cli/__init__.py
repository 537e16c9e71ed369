"""The command line: parse, call the SDK, render. Here is only what every command needs to start.

Commands are loaded when they are used, so that `wherry --help` imports neither gRPC nor anything else that is slow.
"""

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Sequence

import click

from wherry.client import __version__
from wherry.client.cli import exits, interrupts
from wherry.client.cli.quick_grpc import unused_put_off
from wherry.client.cli.settings import Settings, global_options
from wherry.client.errors import ClientError

_NEW_OBJECTS = 20_000

# Name: module, attribute, one line of help. A test holds the lines against the commands themselves.
COMMANDS = {
    "init": (
        "init",
        "init",
        "Make an existing DVC project ready for Wherry: look at it, and write .dvc/wherry.toml.",
    ),
    "up": ("service", "up", "Start the embedded service of this machine."),
    "down": ("service", "down", "Stop the embedded service of this machine."),
    "server": ("server", "server", "Run the service in the foreground."),
    "service": ("service", "service", "Look at the embedded service of this machine."),
    "repro": ("repro", "repro", "Reproduce stages: submit the project, watch the run, bring results back."),
    "exp": ("exp", "exp", "Run experiments: one run, or one for each combination of parameters."),
    "status": ("plan", "status", "Show what `wherry repro` would do, and why; nothing runs."),
    "why": ("why", "why", "Explain why a stage runs, or whose result is used instead."),
    "dag": ("dag", "dag", "Show the stages and what they depend on."),
    "lint": (
        "lint",
        "lint",
        "Find every mistake in dvc.yaml, parameters, locks and settings at once.",
    ),
    "stage": ("stage", "stage", "Edit the stages of dvc.yaml."),
    "ps": ("runs", "ps", "List runs, newest first."),
    "show": ("runs", "show", "Show one run and its stages."),
    "logs": ("runs", "logs", "Print what the stages of a run wrote."),
    "open": (
        "open",
        "open_run",
        "Look at a run in the browser: stages, when they ran, metrics, parameters, and the end of what they wrote.",
    ),
    "attach": ("runs", "attach", "Watch a run that is under way, as `wherry repro` does."),
    "wait": ("runs", "wait", "Wait until runs have ended."),
    "stop": ("runs", "stop", "Stop runs."),
    "retry": (
        "retry",
        "retry",
        "Submit a run once more, as it was submitted: what succeeded is used, the rest runs.",
    ),
    "apply": ("results", "apply", "Write a run's dvc.lock, params and uncached outputs into the project."),
    "pull": ("results", "pull", "Bring outputs into the project."),
    "metrics": (
        "metrics",
        "metrics",
        "Show metrics, and compare them between commits, runs and the workspace.",
    ),
    "plots": ("plots", "plots", "Show plots, and compare them between commits, runs and the workspace."),
    "params": ("params", "params", "Compare parameters between commits, runs and the workspace."),
    "dvc-remote": (
        "remote",
        "dvc_remote",
        "Show the bucket as a DVC remote, or make it one of this project.",
    ),
    "secret": ("secret", "secret", "Keep secrets for the project's stages."),
    "cache": ("cache", "cache", "Look through the run cache, clear it, and check what the store holds."),
    "ci": ("ci", "ci", "Tell a job in CI, and whoever reads its change, about a run."),
    "doctor": ("doctor", "doctor", "Check everything that Wherry needs, and say what to fix."),
    "login": ("profile", "login", "Keep a service and its token in a profile, and use it from now on."),
    "logout": ("profile", "logout", "Forget a profile, and its token: NAME, or the active one."),
    "whoami": ("profile", "whoami", "Say which service is used, who says so, and as whom you come."),
    "token": ("token", "token", "Give people and jobs tokens of their own, and take them back."),
    "profile": ("profile", "profile", "Choose among the services that you have logged in to."),
    "config": ("config", "config", "Show the client's settings, or set one of the project's."),
    "completion": (
        "completion",
        "completion",
        "Print a script that completes commands, stages and runs in a shell.",
    ),
    "version": ("remote", "version", "Print the version of the client."),
}

# How the help is laid out; a command that stands in no section comes at the end.
SECTIONS = {
    "Begin": ("init", "up", "down", "service", "server", "doctor"),
    "Run": ("repro", "exp", "retry", "stop"),
    "Look ahead": ("status", "why", "dag", "lint", "stage"),
    "Look at runs": ("ps", "show", "logs", "open", "attach", "wait"),
    "Results": ("apply", "pull", "metrics", "params", "plots", "dvc-remote", "cache", "ci"),
    "You and your services": (
        "login",
        "logout",
        "whoami",
        "token",
        "profile",
        "config",
        "secret",
        "completion",
        "version",
    ),
}


class ReaderGone(Exception):
    """Whoever read our output has gone away. click would make exit code 1 of it."""


class LazyGroup(click.Group):
    """Knows the commands by name, and loads the one that is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        with unused_put_off():
            command = getattr(importlib.import_module(f"wherry.client.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that is not there may be a typing error."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib  # noqa: PLC0415 - only after a typing error

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if near:
                raise click.UsageError(
                    f"there is no command {args[0]!r}; did you mean {near[0]!r}?", ctx
                ) from error
            raise

    def invoke(self, ctx: click.Context) -> object:
        """Run the command.

        Raises:
            ReaderGone: if its output cannot be written any more.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            raise ReaderGone from exc

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, without loading anything."""
        named = {name for names in SECTIONS.values() for name in names}
        others = tuple(name for name in COMMANDS if name not in named)
        for title, names in {**SECTIONS, "More": others}.items():
            known = [(name, COMMANDS[name][2]) for name in names if name in COMMANDS]
            if known:
                with formatter.section(title):
                    formatter.write_dl(known, col_max=12)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=global_options(),
)
@click.version_option(__version__, "-V", "--version", message="wherry %(version)s")
def wherry() -> None:
    """Run DVC pipelines on shared machines; compute nothing twice.

    A first run: `wherry up`, then `wherry repro` in a DVC project.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and exit with the code of the contract."""
    # Else the interpreter looks for circles after every 700 new objects, of which a command makes many and keeps most.
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
    given = list(sys.argv[1:] if arguments is None else arguments)
    settings = Settings()
    # gRPC's core writes to stderr what the client says better itself; this must be set before it is loaded.
    if not any(argument.startswith("-vv") for argument in given):
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with interrupts.bounded():
        code = _run(given, settings)
    # What is still buffered may meet a closed pipe too.
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _broken_pipe()
    if code == exits.INTERRUPTED:
        interrupts.leave(code)
    sys.exit(code)


def _run(given: list[str], settings: Settings) -> int:
    as_json = "--json" in given
    try:
        with interrupts.told_as_such():
            code = wherry.main(given, prog_name="wherry", standalone_mode=False, obj=settings)
    except ClientError as error:
        exits.tell_error(error, as_json=as_json)
        _tell_trace(settings)
        return exits.exit_code(error)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return exits.USAGE
    except click.UsageError as error:
        exits.tell_error(_usage_error(error), as_json=as_json)
        return exits.USAGE
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return exits.INTERRUPTED
    except ReaderGone:
        return _broken_pipe()
    except click.ClickException as error:
        exits.tell_error(ClientError(error.format_message()), as_json=as_json)
        return exits.OTHER
    except Exception as error:  # noqa: BLE001 - the border of the program: a bug ends in one line and code 70
        bug = ClientError(
            f"{type(error).__name__}: {error}", hint="this is a bug of wherry; -vv shows where", reason="BUG"
        )
        exits.tell_error(bug, as_json=as_json)
        _tell_trace(settings)
        return exits.OUR_BUG
    return code if isinstance(code, int) else exits.SUCCESS


def _usage_error(error: click.UsageError) -> ClientError:
    command = error.ctx.command_path if error.ctx is not None else "wherry"
    return ClientError(error.format_message(), hint=f"see `{command} --help`", reason="USAGE")


def _tell_trace(settings: Settings) -> None:
    if settings.verbosity > 1:
        import traceback  # noqa: PLC0415 - only who looks for a bug needs it

        traceback.print_exc()


def _broken_pipe() -> int:
    # Nobody reads any more; Python would complain once more when it closes stdout.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exits.BROKEN_PIPE
