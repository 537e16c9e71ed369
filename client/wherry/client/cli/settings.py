"""The flags that every command takes, before its name or after it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


@dataclass(slots=True)
class Settings:
    """What the global flags say. The click context carries one for each invocation."""

    folder: Path = Path()
    server: str | None = None
    profile: str | None = None
    quiet: bool = False
    verbosity: int = 0
    color: str = "auto"
    yes: bool = False
    progress: str = "auto"


def global_options() -> list[click.Parameter]:
    """Make the options; each writes into the Settings of the invocation."""
    return [
        click.Option(
            ["-C", "--cd"],
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            expose_value=False,
            callback=_set("folder"),
            help="Act as if started in this folder.",
        ),
        click.Option(
            ["--server"],
            metavar="URL",
            expose_value=False,
            callback=_set("server"),
            help="The service: grpcs://HOST:PORT. Default: WHERRY_SERVER, else this machine's own.",
        ),
        click.Option(
            ["--profile"],
            metavar="NAME",
            expose_value=False,
            callback=_set("profile"),
            help="The service that `wherry login --name NAME` keeps.",
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_set("quiet"),
            help="Only errors and what was asked for.",
        ),
        click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            callback=_set("verbosity"),
            help="Say more; -vv adds tracebacks.",
        ),
        click.Option(
            ["-y", "--yes"],
            is_flag=True,
            expose_value=False,
            callback=_set("yes"),
            help="Answer every question of confirmation with yes.",
        ),
        click.Option(
            ["--progress"],
            type=click.Choice(["auto", "live", "plain"]),
            expose_value=False,
            callback=_set("progress"),
            help="Watch runs in place, or line by line. Default: in place on a terminal, unless CI is set.",
        ),
        click.Option(
            ["--color"],
            type=click.Choice(["auto", "always", "never"]),
            expose_value=False,
            callback=_set("color"),
            help="When to use colour. Default: on a terminal, unless NO_COLOR is set.",
        ),
    ]


class _RunName(click.types.StringParamType):
    """A run, completed as one."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """Offer runs."""
        from wherry.client.cli.completion import complete_runs  # noqa: PLC0415 - only a shell asks

        return complete_runs(ctx, incomplete)


class _StageName(click.types.StringParamType):
    """A stage, completed as one."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """Offer stages."""
        from wherry.client.cli.completion import complete_stages  # noqa: PLC0415 - only a shell asks

        return complete_stages(ctx, incomplete)


_COMPLETED: dict[str, click.types.StringParamType] = {
    "run": _RunName(),
    "runs": _RunName(),
    "run_and_paths": _RunName(),
    "stage": _StageName(),
    "targets": _StageName(),
    "from_stage": _StageName(),
}
"""By what arguments and options are called in every command."""


def _without(own: set[str], options: list[click.Parameter]) -> list[click.Parameter]:
    """Leave out the short names that a command gives another meaning, as DVC does with -y; the long ones stay."""
    for option in options:
        option.opts = [name for name in option.opts if name not in own or name.startswith("--")]
    return options


class Command(click.Command):
    """A command that takes the global flags too, whose help has examples, and whose names are completed."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Add the flags after the command's own."""
        super().__init__(*arguments, **keywords)
        for parameter in self.params:
            if isinstance(parameter.type, click.types.StringParamType) and parameter.name in _COMPLETED:
                parameter.type = _COMPLETED[parameter.name]
        own = {name for parameter in self.params for name in parameter.opts}
        self.params = [*self.params, *_without(own, global_options())]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, loaded only for those who ask for help."""
        from wherry.client.cli.examples import EXAMPLES  # noqa: PLC0415

        examples = EXAMPLES.get(ctx.command_path.partition(" ")[2], ())
        if examples:
            with formatter.section("Examples"):
                formatter.write_dl(examples)
        super().format_epilog(ctx, formatter)


def _set(name: str) -> Callable[[click.Context, click.Parameter, object], None]:
    def callback(ctx: click.Context, _parameter: click.Parameter, value: object) -> None:
        settings = ctx.find_object(Settings)
        # A flag that is not given must not undo what was given before the command's name.
        if settings is not None and value:
            setattr(settings, name, value)

    return callback
