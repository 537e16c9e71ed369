"""`wherry login`, `logout`, `whoami`, `profile`: which service, and as whom."""

import os
import sys

import click

from wherry.client.address import parse_address
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal, plain, table
from wherry.client.client import Client
from wherry.client.errors import NotAllowed, Refused
from wherry.client.profiles import Profile, read_profiles, write_profiles

_DEFAULT_NAME = "default"
_json_flag = click.option(
    "--json", "as_json", is_flag=True, help="Print wherry.profiles/1: the profiles as they are then."
)


@click.command(cls=Command)
@click.argument("url")
@click.option(
    "--token",
    metavar="TOKEN|-",
    default="",
    help="What the service's operator gave you; - reads it from standard input. Default: WHERRY_TOKEN, else it is asked for.",
)
@click.option("--name", default=_DEFAULT_NAME, show_default=True, help="Name of the profile.")
@_json_flag
@click.pass_obj
def login(settings: Settings, url: str, token: str, name: str, as_json: bool) -> None:  # noqa: FBT001, PLR0917 - click passes flags by name
    """Keep a service and its token in a profile, and use it from now on.

    They are tried first. The profile is in ~/.config/wherry/config.toml, readable by you alone. A token on the command
    line is seen by everybody on the machine: better is standard input.
    """
    terminal = Terminal(settings)
    parse_address(url)
    profile = Profile(server=url, token=_token(token))
    environ = {**os.environ, "WHERRY_TOKEN": profile.token} if profile.token else dict(os.environ)
    with Client(server=url, environ=environ) as client:
        caller = client.whoami()
    file = write_profiles(os.environ, read_profiles(os.environ).having(name, profile))
    terminal.note(
        f"{plain(caller.node)} answers, version {plain(caller.version)}, and knows you as {plain(caller.user)}. "
        f"It is used from now on: profile {name} in {file}."
    )
    terminal.note("`wherry profile use --none` goes back to the service of this machine.")
    _tell(terminal, as_json=as_json)


@click.command(cls=Command)
@click.argument("name", default="")
@_json_flag
@click.pass_obj
def logout(settings: Settings, name: str, as_json: bool) -> None:  # noqa: FBT001
    """Forget a profile, and its token: NAME, or the active one."""
    profiles = read_profiles(os.environ)
    gone = name or profiles.active
    if not gone:
        raise Refused(
            "no profile is in use", hint="`wherry profile ls` lists those there are", reason="NO_PROFILE"
        )
    write_profiles(os.environ, profiles.without(gone))
    terminal = Terminal(settings)
    terminal.note(f"Profile {gone} is forgotten.")
    _tell(terminal, as_json=as_json)


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.whoami/1.")
@click.pass_obj
def whoami(settings: Settings, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Say which service is used, who says so, and as whom you come.

    The name is the one that your runs carry: that of your token; with the service's own token WHERRY_USER, else the
    one you are logged in with on this machine.
    """
    with open_session(settings) as (client, terminal):
        caller = client.whoami()
        if as_json:
            terminal.document(caller.to_dict())
            return
        terminal.answer(
            f"{plain(caller.user)} at {caller.server} ({plain(caller.node)}, version {plain(caller.version)}), "
            f"by {caller.origin}"
        )
        if caller.token is not None:
            until = f", which counts until {caller.token_expires_at}" if caller.token_expires_at else ""
            terminal.answer(f"with the token {plain(caller.token)}{until}")
        elif caller.is_owner:
            terminal.answer("with the service's own token: `wherry token` makes others")


@click.group()
def profile() -> None:
    """Choose among the services that you have logged in to."""


@profile.command("ls", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.profiles/1, without tokens.")
@click.pass_obj
def profile_ls(settings: Settings, as_json: bool) -> None:  # noqa: FBT001
    """List the profiles; * marks the active one."""
    terminal = Terminal(settings)
    profiles = read_profiles(os.environ)
    if as_json:
        _tell(terminal, as_json=True)
        return
    if not profiles.by_name:
        terminal.note(
            "There is no profile: `wherry login URL` makes one. Without, this machine's service is used."
        )
        return
    rows = [
        ("*" if name == profiles.active else "", name, known.server)
        for name, known in sorted(profiles.by_name.items())
    ]
    for line in table(("", "NAME", "SERVER"), rows, width=terminal.width):
        terminal.answer(line)


@profile.command("use", cls=Command)
@click.argument("name", default="")
@click.option("--none", is_flag=True, help="None of them: the service of this machine.")
@_json_flag
@click.pass_obj
def profile_use(settings: Settings, name: str, none: bool, as_json: bool) -> None:  # noqa: FBT001
    """Use a profile from now on."""
    if bool(name) == none:
        raise click.UsageError("name a profile, or say --none")
    write_profiles(os.environ, read_profiles(os.environ).using(name))
    terminal = Terminal(settings)
    terminal.note(f"Profile {name} is used now." if name else "The service of this machine is used now.")
    _tell(terminal, as_json=as_json)


@profile.command("rm", cls=Command)
@click.argument("name")
@_json_flag
@click.pass_obj
def profile_rm(settings: Settings, name: str, as_json: bool) -> None:  # noqa: FBT001
    """Forget a profile, and its token."""
    write_profiles(os.environ, read_profiles(os.environ).without(name))
    terminal = Terminal(settings)
    terminal.note(f"Profile {name} is forgotten.")
    _tell(terminal, as_json=as_json)


def _tell(terminal: Terminal, *, as_json: bool) -> None:
    """With --json: the profiles as they are now, without tokens."""
    if not as_json:
        return
    profiles = read_profiles(os.environ)
    listed = [
        {
            "name": name,
            "server": known.server,
            "has_token": bool(known.token),
            "active": name == profiles.active,
        }
        for name, known in sorted(profiles.by_name.items())
    ]
    terminal.document({"schema": "wherry.profiles/1", "profiles": listed})


def _token(given: str) -> str:
    if given == "-":
        return sys.stdin.readline().strip()
    if given:
        return given
    if os.environ.get("WHERRY_TOKEN"):
        return os.environ["WHERRY_TOKEN"]
    if sys.stdin.isatty() and sys.stderr.isatty():
        return str(click.prompt("Token", hide_input=True, default="", show_default=False, err=True)).strip()
    raise NotAllowed(
        "no token was given", hint="pipe it in: --token -, or set WHERRY_TOKEN", reason="NO_TOKEN"
    )
