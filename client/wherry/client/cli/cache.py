"""`wherry cache`; and `wherry cache fsck`: what the store holds, read again."""

import time

import click

from wherry.client.cli import exits
from wherry.client.cli.cache_results import COMMANDS
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.units import size_words
from wherry.v1.blobs_pb2 import BlobFault, CheckBlobsResponse

_SAMPLE = 1_000
_TELL_S = 2.0

# The answer's last word: something was wrong.
_FOUND = 1


@click.group()
def cache() -> None:
    """Look through the run cache, clear it, and check what the store holds."""


for _command in COMMANDS:
    cache.add_command(_command)


@cache.command("fsck", cls=Command)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Check N objects chosen at random (default {_SAMPLE}).",
)
@click.option("--full", is_flag=True, help="Check every object.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.fsck/1.")
@click.pass_obj
def fsck(settings: Settings, sample: int | None, full: bool, as_json: bool) -> int:  # noqa: FBT001 - click's way
    """Read objects of the bucket again and compare them with their names.

    What is damaged or missing is no longer held afterwards, nor the folders that list it: the stages that make it run
    again. What DVC 2 pushed is reported and left. Exit code 1 if anything was found.
    """
    if full and sample is not None:
        raise click.UsageError("--sample and --full exclude each other")
    faults: list[BlobFault] = []
    last = CheckBlobsResponse()
    told = time.monotonic()
    with open_session(settings) as (client, terminal):
        for last in client.check_blobs(0 if full else sample or _SAMPLE):
            faults.extend(last.faults)
            for fault in () if as_json else last.faults:
                terminal.answer(f"{_kind(fault)}: {fault.hash} {fault.message}")
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                terminal.note(f"checked {last.checked} of {last.total}, {size_words(last.bytes_read)}")
        if as_json:
            terminal.document(_document(last, faults))
        elif faults:
            terminal.warn(
                f"{len(faults)} objects are not as their names say; what is no longer held is made again when it is needed"
            )
        else:
            terminal.answer(f"{last.checked} of {last.total} objects checked: all as their names say")
    return _FOUND if faults else exits.SUCCESS


def _document(last: CheckBlobsResponse, faults: list[BlobFault]) -> dict[str, object]:
    return {
        "schema": "wherry.fsck/1",
        "checked": last.checked,
        "total": last.total,
        "bytes_read": last.bytes_read,
        "faults": [{"hash": fault.hash, "kind": _kind(fault), "message": fault.message} for fault in faults],
    }


def _kind(fault: BlobFault) -> str:
    return BlobFault.Kind.Name(fault.kind).removeprefix("KIND_").lower()
