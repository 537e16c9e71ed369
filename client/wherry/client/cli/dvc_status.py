"""`wherry status --dvc`: the service's comparison with dvc.lock, in DVC's JSON or its text."""

import json
from collections.abc import Iterator
from typing import Any

from wherry.client.cli import exits
from wherry.client.cli.terminal import Terminal, plain
from wherry.client.stage_names import StageNames
from wherry.v1.pipelines_pb2 import LockStatus


def tell_lock_status(terminal: Terminal, status: LockStatus, names: StageNames, *, as_json: bool) -> int:
    """Print the status as `dvc status` does; the exit code is 1 under -q when something changed."""
    document: dict[str, Any] = json.loads(status.document_json)
    for name in status.frozen:
        terminal.warn(f"{names.seen(name)} is frozen: changes of its dependencies are not shown")
    for unseen in status.unseen:
        terminal.warn(f"{names.seen(unseen.stage)}: {unseen.path} is out of reach and was not looked at")
    if as_json:
        terminal.document(document)
    elif not terminal.quiet:
        for line in _lines(document):
            terminal.answer(line)
    return exits.STAGE_FAILED if terminal.quiet and document else exits.SUCCESS


def _lines(document: dict[str, Any]) -> Iterator[str]:
    if not document:
        yield "Data and pipelines are up to date."
    for stage, items in document.items():
        yield f"{plain(stage)}:"
        for item in items:
            if isinstance(item, str):
                yield f"\t{plain(item)}"
                continue
            for title, changes in item.items():
                yield f"\t{plain(title)}:"
                yield from _change_lines(changes)


def _change_lines(changes: dict[str, Any]) -> Iterator[str]:
    for path, change in changes.items():
        if isinstance(change, str):
            yield f"\t\t{change + ':':<20}{plain(path)}"
            continue
        yield f"\t\t{plain(path)}:"
        for key, of_key in change.items():
            yield f"\t\t\t{of_key + ':':<20}{plain(key)}"
