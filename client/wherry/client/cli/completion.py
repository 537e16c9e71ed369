"""`wherry completion`, and what completes names of stages and runs."""

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from wherry.client.cli.settings import Command, Settings
from wherry.client.known_names import KnownNames
from wherry.client.project import find_root

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_WHERRY_COMPLETE"


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands, stages and runs in a shell.

    Names of stages and runs are those that were seen last by a command in the project: nothing is asked for them.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    print(kind(ctx.find_root().command, {}, "wherry", _VARIABLE).source())


def complete_runs(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer runs: by number, or by name once a letter says that a name is meant."""
    root = find_root(_folder(ctx))
    runs = KnownNames(root).runs if root is not None else []
    by_name = incomplete[:1].isalpha()
    return [
        CompletionItem(name if by_name else id_, help=f"{id_ if by_name else name}, {state}")
        for id_, name, state in runs
        if (name if by_name else id_).startswith(incomplete)
    ]


def complete_stages(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer stages, as they are called where the command is typed."""
    here = _folder(ctx)
    root = find_root(here)
    if root is None:
        return []
    folder = Path(os.path.realpath(here)).relative_to(root).as_posix()
    names = KnownNames(root).stages_seen("" if folder == "." else folder)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _folder(ctx: click.Context) -> Path:
    settings = ctx.find_object(Settings)
    return settings.folder if settings is not None else Path()
