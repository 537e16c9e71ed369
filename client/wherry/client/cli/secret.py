"""`wherry secret`: values that stages need and nobody is to read."""

import sys

import click

from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal
from wherry.client.client import Client
from wherry.client.errors import ClientError

_json_flag = click.option(
    "--json", "as_json", is_flag=True, help="Print wherry.secrets/1: the project's secrets, without values."
)


@click.group()
def secret() -> None:
    """Keep secrets for the project's stages."""


@secret.command("set", cls=Command)
@click.argument("name")
@_json_flag
@click.pass_obj
def set_secret(settings: Settings, name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Keep the secret NAME; its value is asked for, or read from stdin.

    Stages of this project that name it in their settings (secrets: [NAME]), or runs with --secret NAME, find it in the
    environment variable NAME and in the file /run/secrets/NAME. From stdin one newline at the end is left out.
    """
    value = _read_value(name)
    with open_session(settings) as (client, terminal):
        client.put_secret(name, value)
        terminal.note(f"the project {client.project.name} has the secret {name}")
        if as_json:
            _tell(terminal, client)


@secret.command("ls", cls=Command)
@_json_flag
@click.pass_obj
def list_secrets(settings: Settings, as_json: bool) -> None:  # noqa: FBT001
    """List the names of the project's secrets, who set each, and when. Values are never shown."""
    with open_session(settings) as (client, terminal):
        if as_json:
            _tell(terminal, client)
            return
        records = client.list_secrets()
        width = max((len(record.name) for record in records), default=0)
        for record in records:
            terminal.answer(
                f"{record.name:<{width}}  {record.set_at.ToDatetime():%Y-%m-%d %H:%M} UTC  {record.user}"
            )
        if not records:
            terminal.note(f"the project {client.project.name} has no secrets: `wherry secret set NAME`")


@secret.command("rm", cls=Command)
@click.argument("name")
@_json_flag
@click.pass_obj
def remove_secret(settings: Settings, name: str, as_json: bool) -> None:  # noqa: FBT001
    """Remove the secret NAME."""
    with open_session(settings) as (client, terminal):
        client.delete_secret(name)
        terminal.note(f"the project {client.project.name} has no secret {name} any more")
        if as_json:
            _tell(terminal, client)


def _tell(terminal: Terminal, client: Client) -> None:
    """Print the project's secrets as they are now."""
    listed = [
        {"name": record.name, "user": record.user, "set_at": record.set_at.ToJsonString()}
        for record in client.list_secrets()
    ]
    terminal.document({"schema": "wherry.secrets/1", "project": client.project.name, "secrets": listed})


def _read_value(name: str) -> bytes:
    if sys.stdin.isatty():
        asked: str = click.prompt(f"Value of {name} (not shown)", hide_input=True, err=True)
        return asked.encode()
    value = sys.stdin.buffer.read().removesuffix(b"\n")
    if not value:
        raise ClientError(
            f"no value for {name} came on stdin",
            hint=f'on a terminal `wherry secret set {name}` asks for it; in a script: printf %s "$VALUE" | wherry secret set {name}',
            reason="NO_VALUE",
        )
    return value
