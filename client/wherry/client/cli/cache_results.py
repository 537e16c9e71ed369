"""`wherry cache ls|show|diff|stats|rm|pin|gc`: results that are known, and what they hold."""

import json
import re
import sys
from collections.abc import Iterator

import click

from wherry.client.cli import exits
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal, plain, table
from wherry.client.cli.units import duration_words, size_words
from wherry.client.documents import (
    cached_result_document,
    difference_document,
    gc_document,
)
from wherry.client.errors import Refused
from wherry.v1.cache_pb2 import CachedResult, CollectGarbageResponse

_KEY_CHARACTERS = 12
_DURATION = re.compile(r"(\d+)([hdw])")
_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}
_DEFAULT_AGE = "90d"


class _Age(click.ParamType[int]):
    """An age such as 36h, 90d, 12w, as seconds."""

    name = "AGE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        if isinstance(value, int):
            return value
        found = _DURATION.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is not an age: write 36h, 90d or 12w", param, ctx)
        return int(found[1]) * _SECONDS[found[2]]


@click.command("ls", cls=Command)
@click.argument("match", default="")
@click.option("--user", default="", metavar="NAME", help="Only results of this user.")
@click.option("--pinned", is_flag=True, help="Only results that are pinned.")
@click.option(
    "-n", "--number", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.results/1.")
@click.pass_obj
def ls(settings: Settings, match: str, user: str, pinned: bool, number: int, as_json: bool) -> None:  # noqa: FBT001, PLR0917 - click's way
    """List results, newest first: of all projects and users.

    MATCH is looked for in commands and paths. Marks: * pinned, ! the store does not hold all of it any more.
    """
    with open_session(settings) as (client, terminal):
        found = client.cache.results(match=match, user=user, pinned_only=pinned, limit=number)
        if as_json:
            terminal.document(
                {"schema": "wherry.results/1", "results": [cached_result_document(one) for one in found]}
            )
            return
        if not found:
            terminal.note("There is no such result: a stage that succeeds leaves one.")
        rows = [_row(one) for one in found]
        header = ("KEY", "", "KEPT", "USER", "RUN", "TIME", "SIZE", "COMMAND")
        for line in table(header, rows, width=terminal.width):
            terminal.answer(line)


@click.command("show", cls=Command)
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.result/1.")
@click.pass_obj
def show(settings: Settings, key: str, as_json: bool) -> None:  # noqa: FBT001
    """Show one result: what it was computed from, and what it holds.

    KEY is what `wherry cache ls` lists; its first 6 digits are enough where no other begins so.
    """
    with open_session(settings) as (client, terminal):
        found = client.cache.result(key)
        if as_json:
            document = cached_result_document(found, whole=True)
            terminal.document({"schema": "wherry.result/1", **document})
            return
        for line in _lines(found):
            terminal.answer(line)


@click.command("diff", cls=Command)
@click.argument("before")
@click.argument("after")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.result-diff/1.")
@click.pass_obj
def diff(settings: Settings, before: str, after: str, as_json: bool) -> None:  # noqa: FBT001
    """Say how the key of one result differs from that of another."""
    with open_session(settings) as (client, terminal):
        compared = client.cache.compare(before, after)
        if as_json:
            terminal.document(
                {
                    "schema": "wherry.result-diff/1",
                    "before": compared.before,
                    "after": compared.after,
                    "differences": [difference_document(one) for one in compared.differences],
                }
            )
            return
        for difference in compared.differences:
            terminal.answer(plain(difference.text))
        if not compared.differences:
            terminal.note("They do not differ in anything that is still known.")


@click.command("stats", cls=Command)
@click.option(
    "--days", type=click.IntRange(min=0), default=30, show_default=True, help="Runs of so many days; 0: all."
)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.cache-stats/1.")
@click.pass_obj
def stats(settings: Settings, days: int, as_json: bool) -> None:  # noqa: FBT001
    """Count results and content, and say how much computing they saved."""
    with open_session(settings) as (client, terminal):
        said = client.cache.stats(days)
        if as_json:
            terminal.document(
                {
                    "schema": "wherry.cache-stats/1",
                    "results": said.results,
                    "pinned": said.pinned,
                    "blobs": said.blobs,
                    "bytes": said.bytes,
                    "days": days or None,
                    "runs": said.runs,
                    "compute_s": said.compute_s,
                    "saved_s": said.saved_s,
                    "packs": said.packs,
                    "packed_blobs": said.packed_blobs,
                    "packed_bytes": said.packed_bytes,
                }
            )
            return
        terminal.answer(f"{_count(said.results, 'result')}, {said.pinned} pinned")
        terminal.answer(f"{_count(said.blobs, 'blob')}, {size_words(said.bytes)}")
        if said.packs:
            files = _count(said.packed_blobs, "file")
            terminal.answer(
                f"{_count(said.packs, 'pack')} of sources: {files}, {size_words(said.packed_bytes)}"
            )
        when = f" in {days} days" if days else ""
        computed, saved = duration_words(said.compute_s), duration_words(said.saved_s)
        whole = said.compute_s + said.saved_s
        share = f" ({100 * said.saved_s / whole:.0f} %)" if whole else ""
        terminal.answer(f"{_count(said.runs, 'run')}{when}: {computed} computed, {saved} saved{share}")


@click.command("rm", cls=Command)
@click.argument("keys", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.forgotten/1.")
@click.pass_obj
def rm(settings: Settings, keys: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001 - click's way
    """Forget results: their stages run again, for everybody, when they are wanted.

    What they hold stays in the store until `wherry cache gc`.
    """
    with open_session(settings) as (client, terminal):
        _confirm(settings, f"Forget {_count(len(keys), 'result')}, for everybody?")
        gone = client.cache.remove(keys)
        if as_json:
            terminal.document({"schema": "wherry.forgotten/1", "keys": gone})
            return
        terminal.note(f"{_count(len(gone), 'result')} forgotten.")


@click.command("pin", cls=Command)
@click.argument("keys", nargs=-1, required=True)
@click.option("--rm", "remove", is_flag=True, help="Do not keep them any more.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.results/1: the results as they are now.")
@click.pass_obj
def pin(settings: Settings, keys: tuple[str, ...], remove: bool, as_json: bool) -> None:  # noqa: FBT001
    """Keep results and their outputs from `wherry cache gc`."""
    with open_session(settings) as (client, terminal):
        pinned = [client.cache.pin(key, pinned=not remove) for key in keys]
        if as_json:
            documents = [cached_result_document(found) for found in pinned]
            terminal.document({"schema": "wherry.results/1", "results": documents})
            return
        for found in pinned:
            terminal.note(f"{found.key[:_KEY_CHARACTERS]} is {'pinned' if found.pinned else 'not pinned'}.")


@click.command("gc", cls=Command)
@click.option(
    "--unused",
    type=_Age(),
    default=_DEFAULT_AGE,
    show_default=True,
    help="What was of use since then stays: 36h, 90d, 12w.",
)
@click.option(
    "--inputs",
    is_flag=True,
    help="Also files and data that no stage computed: nothing brings them back but whoever has them.",
)
@click.option("--dry", is_flag=True, help="Only say what would go.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.gc/1.")
@click.pass_obj
def gc(settings: Settings, unused: int, inputs: bool, dry: bool, as_json: bool) -> int:  # noqa: FBT001, PLR0917
    """Delete results that nobody used for long, and the outputs that only they hold.

    Pinned results stay, what runs that are going on need, and everything in the bucket that Wherry never read. What a
    stage computed is computed again when it is wanted; `dvc pull` of an old commit may miss it until then.
    """
    with open_session(settings) as (client, terminal):
        would = _last(client.cache.collect(unused, inputs=inputs, dry=True))
        if dry or not (would.results or would.blobs):
            if not dry:
                _last(
                    client.cache.collect(unused, inputs=inputs)
                )  # short packs are put together all the same
            _tell_gc(terminal, would, dry=True, as_json=as_json)
            return exits.SUCCESS
        terminal.note(_gc_words(would, dry=True))
        _confirm(settings, "Delete them, for everybody?")
        done = CollectGarbageResponse()
        terminal.begin("Deleting", would.blobs, would.bytes)
        try:
            for step in client.cache.collect(unused, inputs=inputs):
                terminal.advance(step.bytes - done.bytes)
                done = step
        finally:
            terminal.end()
        _tell_gc(terminal, done, dry=False, as_json=as_json)
        return exits.SUCCESS


def _last(steps: Iterator[CollectGarbageResponse]) -> CollectGarbageResponse:
    *_, last = steps
    return last


def _tell_gc(terminal: Terminal, said: CollectGarbageResponse, *, dry: bool, as_json: bool) -> None:
    if as_json:
        terminal.document(gc_document(said, dry=dry))
    else:
        terminal.answer(_gc_words(said, dry=dry))


def _gc_words(said: CollectGarbageResponse, *, dry: bool) -> str:
    if not (said.results or said.blobs):
        return "Nothing to collect."
    what = f"{_count(said.results, 'result')} and {_count(said.blobs, 'blob')}, {size_words(said.bytes)}"
    return f"{what}, would go." if dry else f"{what}, are gone."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _confirm(settings: Settings, question: str) -> None:
    """Ask.

    Raises:
        Refused: without a terminal, unless -y says yes.
    """
    if settings.yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            "this has to be confirmed",
            hint="there is no terminal to ask at: -y says yes",
            reason="UNCONFIRMED",
        )
    click.confirm(question, abort=True, err=True)


def _row(one: CachedResult) -> tuple[str, ...]:
    marks = ("*" if one.pinned else "") + ("" if one.held else "!")
    return (
        one.key[:_KEY_CHARACTERS],
        marks,
        one.created_at.ToJsonString()[:16].replace("T", " "),
        plain(one.user) or "-",
        one.run,
        duration_words(one.wall_s),
        size_words(sum(out.size_bytes for out in one.outs)),
        plain(" && ".join(one.cmd)),
    )


def _lines(one: CachedResult) -> list[str]:
    place = f" in {plain(one.wdir)}" if one.wdir not in {"", "."} else ""
    lines = [
        f"Result {one.key}{', pinned' if one.pinned else ''}",
        f"Computed {_by(one)}",
        f"Image {plain(one.image)}",
        *(f"$ {plain(cmd)}{place}" for cmd in one.cmd),
        "",
        *table(
            ("", "HASH", "SIZE", "PATH"),
            [
                (word, record.hash, size_words(record.size_bytes), plain(record.path))
                for word, records in (("dep", one.deps), ("out", one.outs))
                for record in records
            ],
            width=10_000,
        ),
    ]
    params = json.loads(one.params_json or "{}")
    for file, values in params.items():
        lines += [
            "",
            f"{plain(file)}:",
            *(f"  {plain(str(key))}: {plain(json.dumps(value))}" for key, value in values.items()),
        ]
    if not one.held:
        lines += ["", "The store does not hold all outputs any more: the stage runs again when it is wanted."]
    return lines


def _by(one: CachedResult) -> str:
    who = f"in run {plain(one.run)} by {plain(one.user) or 'unknown'}"
    return f"{who}, {one.created_at.ToJsonString()}, in {duration_words(one.wall_s)}"


COMMANDS = (ls, show, diff, stats, rm, pin, gc)
