"""`wherry dvc-remote` and `wherry version`."""

import json
import platform

import click

from wherry.client import __version__
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.dvc_remote import remote_settings, write_remote


@click.command("dvc-remote", cls=Command)
@click.option("--json", "form", flag_value="json", help="Print all of it as JSON, the secret key too.")
@click.option(
    "--write",
    "form",
    flag_value="write",
    help="Set it as the default remote in .dvc/config.local (mode 0600).",
)
@click.pass_obj
def dvc_remote(settings: Settings, form: str | None) -> None:
    """Show the bucket as a DVC remote, or make it one of this project.

    Plain output hides the secret key, unless -v is given. With --write `dvc pull` and `dvc push` work at once.
    """
    with open_session(settings) as (client, terminal):
        project = client.project if form == "write" else None
        remote = remote_settings(client.dvc_remote())
        if project is not None:
            write_remote(project.root, remote)
            terminal.note("Remote 'wherry' is set in .dvc/config.local and is the default now.")
        elif form == "json":
            # Named as DVC names them; an empty value is one that DVC is not to be given.
            print(json.dumps({key: value or None for key, value in remote.items()}, indent=2))
        else:
            for key, value in remote.items():
                if value:
                    hidden = key == "secret_access_key" and not settings.verbosity
                    terminal.answer(f"{key}={'(hidden; -v shows it)' if hidden else value}")


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.version/1.")
def version(as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Print the version of the client.

    That of the embedded service is in `wherry service status`.
    """
    if as_json:
        document = {
            "schema": "wherry.version/1",
            "version": __version__,
            "python": platform.python_version(),
            "platform": platform.system().lower(),
        }
        print(json.dumps(document, indent=2))
        return
    print(f"wherry {__version__} (Python {platform.python_version()}, {platform.system().lower()})")
