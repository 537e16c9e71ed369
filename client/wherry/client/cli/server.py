"""`wherry server`: the service in the foreground, as a supervisor or a container runs it."""

import importlib.util
import os
import sys
from pathlib import Path

import click

from wherry.client.cli.settings import Command
from wherry.client.embedded import MODULE
from wherry.client.errors import BadConfiguration


@click.command(cls=Command)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings as TOML; WHERRY_… variables win.",
)
@click.option("--home", type=click.Path(file_okay=False), metavar="DIR", help="Folder for all state.")
@click.option("--listen", metavar="HOST:PORT", help="Where clients reach it; port 0 picks one.")
def server(config: Path | None, home: str | None, listen: str | None) -> None:
    """Run the service in the foreground.

    It stops on SIGTERM or Ctrl-C. What can be set is in docs/service.md: variables WHERRY_…, or the same names in lower case in FILE.
    """
    if importlib.util.find_spec(MODULE) is None:
        raise BadConfiguration(
            "the service is not installed here",
            hint="pip install 'wherry[service]'",
            reason="SERVICE_NOT_INSTALLED",
        )
    given = {"--config": config, "--home": home, "--listen": listen}
    flags = [part for flag, value in given.items() if value is not None for part in (flag, str(value))]
    # In place of this process: signals and the exit code are the service's own.
    os.execv(sys.executable, [sys.executable, "-m", MODULE, *flags])  # noqa: S606 - no shell is wanted
