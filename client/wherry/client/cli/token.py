"""`wherry token`: tokens for people and jobs, beside the service's own."""

import re
from collections.abc import Iterable
from datetime import UTC

import click

from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import plain, table
from wherry.client.documents import Json, token_document
from wherry.v1.tokens_pb2 import TokenRecord

_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,9})([mhdwy])")


@click.group()
def token() -> None:
    """Give people and jobs tokens of their own, and take them back.

    For whoever holds the service's own token: WHERRY_TOKEN of its settings, or the file `token` in its home.
    """


@token.command("create", cls=Command)
@click.argument("name")
@click.option(
    "--user", default="", metavar="USER", help="As whom its holder comes, whatever they say. Default: NAME."
)
@click.option(
    "--expires",
    default="",
    metavar="TIME",
    help="It counts no longer than this: 12h, 30d, 8w or 1y. Default: until it is removed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.token/1, with the token.")
@click.pass_obj
def create(settings: Settings, name: str, user: str, expires: str, as_json: bool) -> None:  # noqa: FBT001, PLR0917 - click passes flags by name
    """Make a token called NAME, and print it.

    It is shown this one time: the service keeps only its hash. Its holder says `wherry login URL`, or has it in WHERRY_TOKEN.
    """
    lifetime_s = _seconds(expires)
    with open_session(settings) as (client, terminal):
        made = client.create_token(name, user=user, lifetime_s=lifetime_s)
        if as_json:
            terminal.document(
                {"schema": "wherry.token/1", "token": made.token, **token_document(made.record)}
            )
            return
        terminal.answer(made.token)
        terminal.note(
            f"Whoever has it comes as {plain(made.record.user)}{_until(made.record)}. It is not shown again; "
            f"`wherry token rm {plain(name)}` takes it back."
        )


@token.command("ls", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.tokens/1.")
@click.pass_obj
def list_tokens(settings: Settings, as_json: bool) -> None:  # noqa: FBT001
    """List tokens: as whom they let in, when they were made and used last, and how long they count."""
    with open_session(settings) as (client, terminal):
        records = client.list_tokens()
        if as_json:
            terminal.document(_documents(records))
            return
        if not records:
            terminal.note("There is no token beside the service's own: `wherry token create NAME` makes one.")
            return
        rows = [
            (
                plain(record.name),
                plain(record.user),
                _day(record, "created_at") or "-",
                _day(record, "used_at") or "never",
                _day(record, "expires_at") or "-",
            )
            for record in records
        ]
        for line in table(("NAME", "USER", "CREATED", "USED", "EXPIRES"), rows, width=terminal.width):
            terminal.answer(line)


@token.command("rm", cls=Command)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.tokens/1: those that were removed.")
@click.pass_obj
def remove(settings: Settings, names: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Remove tokens: the next call that carries one is refused."""
    with open_session(settings) as (client, terminal):
        removed = []
        for name in names:
            removed.append(client.delete_token(name))
            if not as_json:
                terminal.note(f"The token {plain(name)} counts no more.")
        if as_json:
            terminal.document(_documents(removed))


def _documents(records: Iterable[TokenRecord]) -> Json:
    return {"schema": "wherry.tokens/1", "tokens": [token_document(record) for record in records]}


def _seconds(text: str) -> int:
    """Read a lifetime; 0 when none is given."""
    if not text:
        return 0
    found = _DURATION.fullmatch(text)
    if found is None:
        raise click.BadParameter(
            f"{text!r} is no time: write a number and m, h, d, w or y", param_hint="--expires"
        )
    return int(found[1]) * _UNITS_S[found[2]]


def _until(record: TokenRecord) -> str:
    day = _day(record, "expires_at")
    return f" until {day}" if day else ""


def _day(record: TokenRecord, name: str) -> str:
    if not record.HasField(name):  # type: ignore[arg-type] # the stubs list the names one by one
        return ""
    moment = getattr(record, name).ToDatetime(tzinfo=UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"
