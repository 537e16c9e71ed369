"""What the commands that compare revisions share: flags, and how tables and JSON are printed."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from wherry.client.cli.terminal import Terminal, plain
from wherry.client.tables import Rows, markdown_table, plain_table

DEFAULT_PRECISION = 5

Function = TypeVar("Function", bound=Callable[..., Any])

json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON, in DVC's shape.")
markdown_flag = click.option("--md", "markdown", is_flag=True, help="Print a table in Markdown.")
precision_option = click.option(
    "--precision",
    type=int,
    metavar="N",
    help=f"Round to N digits after the decimal point; {DEFAULT_PRECISION} unless given.",
)


def revision_flags(verb: str) -> Callable[[Function], Function]:
    """Add -a, -T and -A."""

    def decorate(function: Function) -> Function:
        for option in (
            click.option("-A", "--all-commits", is_flag=True, help=f"{verb} all commits."),
            click.option("-T", "--all-tags", is_flag=True, help=f"{verb} all tags."),
            click.option("-a", "--all-branches", is_flag=True, help=f"{verb} all branches."),
        ):
            function = option(function)
        return function

    return decorate


class TargetsOption(click.Option):
    """An option that takes all words up to the next option, as DVC's `--targets` does."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Take what follows the first value too."""
        super().add_to_parser(parser, ctx)
        for name in self.opts:
            known = parser._long_opt.get(name)  # noqa: SLF001 - click has no option of any number of values
            if known is None:
                continue
            process = known.process

            def take(value: Any, state: Any, process: Any = process) -> None:
                process(value, state)
                while state.rargs and not state.rargs[0].startswith("-"):
                    process(state.rargs.pop(0), state)

            known.process = take


def optional_targets(what: str) -> Callable[[Function], Function]:
    """Add --targets."""
    return click.option(
        "--targets",
        cls=TargetsOption,
        # Names of files are completed, not of stages.
        type=click.Path(),
        multiple=True,
        metavar="PATH...",
        help=f"Only these files or folders, whether or not they are declared as {what}.",
    )


def tell_failed(terminal: Terminal, kind: str, revisions: Sequence[str]) -> None:
    """Say of which revisions something could not be read."""
    if revisions:
        names = ", ".join(name or "workspace" for name in revisions)
        terminal.warn(f"some {kind} could not be read, of: {names}; --json says which and why")


def tell_json(terminal: Terminal, document: Any) -> None:
    """Print JSON as DVC does: on one line, and indented on a terminal."""
    terminal.answer(json.dumps(document, indent=2 if sys.stdout.isatty() else None))


def tell_table(terminal: Terminal, header: Sequence[str], rows: Rows, *, markdown: bool) -> None:
    """Print a table. Without rows there is nothing to print."""
    clean = [[plain_cell(cell) for cell in row] for row in (header, *rows)]
    layout = markdown_table if markdown else plain_table
    if rows:
        terminal.answer(layout(clean[0], clean[1:]))


def plain_cell(text: str) -> str:
    """Make a cell harmless; its lines stay lines."""
    return "\n".join(plain(line) for line in text.strip().split("\n"))
