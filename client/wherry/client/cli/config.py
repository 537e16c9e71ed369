"""`wherry config`: the client's settings, and who says so."""

import os
from pathlib import Path

import click

from wherry.client.cli import exits
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal, plain
from wherry.client.configuration import (
    KEYS,
    OWN_FILE,
    PROJECT_KEYS,
    SHARED_FILE,
    Setting,
    settings_in_order,
    write_setting,
)
from wherry.client.errors import Unknown
from wherry.client.project import find_project


@click.command(cls=Command)
@click.argument("key", default="")
@click.argument("value", default="")
@click.option("-l", "--list", "all_of_it", is_flag=True, help="List all that counts; so does no KEY.")
@click.option("--show-origin", is_flag=True, help="Say where each comes from.")
@click.option("--local", "own", is_flag=True, help="Write into .dvc/wherry.local.toml: for you alone.")
@click.option("-u", "--unset", is_flag=True, help="Remove KEY from the file.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.config/1; after a change as it is then.")
@click.pass_obj
def config(  # noqa: PLR0917 - one parameter for each flag
    settings: Settings,
    key: str,
    value: str,
    all_of_it: bool,  # noqa: FBT001 - click passes flags by name
    show_origin: bool,  # noqa: FBT001
    own: bool,  # noqa: FBT001
    unset: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> int:
    """Show the client's settings, or set one of the project's.

    Keys are server, project, profile and user; the first two can stand in .dvc/wherry.toml, for everybody, or with
    --local in .dvc/wherry.local.toml. Flags go before the environment, that before the project's files, those before
    the active profile. Exit code 5 if KEY has no value.
    """
    terminal = Terminal(settings)
    if key and key not in KEYS:
        raise click.UsageError(f"unknown key {key!r}; there are: {', '.join(KEYS)}")
    if value or unset:
        _write(settings, terminal, key, None if unset else value, own=own)
        if not as_json:
            return exits.SUCCESS
    found = _settings(settings)
    if as_json:
        terminal.document(
            {
                "schema": "wherry.config/1",
                "settings": [
                    {"key": one.key, "value": one.value, "origin": one.origin}
                    for one in found
                    if key in {"", one.key}
                ],
            }
        )
        return exits.SUCCESS
    if key and not all_of_it:
        chosen = next((one for one in found if one.key == key), None)
        if chosen is None:
            raise Unknown(
                f"{key} is not set anywhere", hint=f"`wherry config {key} VALUE` sets it", reason="NOT_SET"
            )
        terminal.answer(f"{chosen.origin}\t{plain(chosen.value)}" if show_origin else plain(chosen.value))
        return exits.SUCCESS
    for one in found:
        line = f"{one.key}={plain(one.value)}"
        terminal.answer(f"{one.origin}\t{line}" if show_origin else line)
    if not found:
        terminal.note("Nothing is set: the service of this machine is used.")
    return exits.SUCCESS


def _settings(settings: Settings) -> list[Setting]:
    """What counts, in the order of the keys."""
    chosen: dict[str, Setting] = {}
    for one in settings_in_order(
        settings.folder, os.environ, server=settings.server, profile=settings.profile
    ):
        chosen.setdefault(one.key, one)
    return [chosen[key] for key in KEYS if key in chosen]


def _write(settings: Settings, terminal: Terminal, key: str, value: str | None, *, own: bool) -> None:
    if not key:
        raise click.UsageError("name the KEY to be set")
    if key not in PROJECT_KEYS:
        other = "`wherry profile use NAME`" if key == "profile" else "WHERRY_USER in the environment"
        raise click.UsageError(f"{key} is set otherwise: {other}")
    name = OWN_FILE if own else SHARED_FILE
    root: Path = find_project(settings.folder, os.environ).root
    write_setting(root / name, key, value)
    terminal.note(f"{key} is {'set' if value is not None else 'not set any more'} in {name}.")
