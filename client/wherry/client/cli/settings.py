"""The flags that every command takes, before its name or after it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click


@dataclass(slots=True)
class Settings:
    """What the global flags say. The click context carries one for each invocation."""

    folder: Path = Path()
    server: str | None = None
    quiet: bool = False
    verbosity: int = 0
    color: str = "auto"
    yes: bool = False


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
            ["--color"],
            type=click.Choice(["auto", "always", "never"]),
            expose_value=False,
            callback=_set("color"),
            help="When to use colour. Default: on a terminal, unless NO_COLOR is set.",
        ),
    ]


class Command(click.Command):
    """A command that takes the global flags too."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Add them after the command's own."""
        super().__init__(*arguments, **keywords)
        self.params = [*self.params, *global_options()]

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
