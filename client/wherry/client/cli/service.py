"""`wherry up`, `down`, `service status`, `service logs`: the embedded service of this machine."""

import os
import sys
import threading
import time
from pathlib import Path

import click

from wherry.client.address import wherry_home
from wherry.client.cli import exits, interrupts
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal
from wherry.client.documents import service_document
from wherry.client.embedded import EmbeddedService, Status
from wherry.client.errors import Unknown

_PATIENCE_S = 2.0
_POLL_S = 0.2
_BLOCK_BYTES = 65_536


_json_flag = click.option("--json", "as_json", is_flag=True, help="Print wherry.service/1.")


@click.command(cls=Command)
@_json_flag
@click.pass_obj
def up(settings: Settings, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Start the embedded service of this machine.

    It runs in the background and is ready when this returns. Its state is in WHERRY_HOME.
    """
    terminal = Terminal(settings)
    service = _embedded()
    told = threading.Event()

    def waiting(passed: float) -> None:
        if passed > _PATIENCE_S and not told.is_set():
            told.set()
            terminal.note("Starting the service and its store …")

    status, started = service.start(waiting)
    assert status.record is not None
    words = "The service runs" if started else "The service runs already"
    terminal.note(f"{words}: {status.record.address} (pid {status.record.pid}, home {service.home})")
    if status.info is not None and not status.info.engine_version:
        terminal.warn("the Docker engine does not answer: stages cannot run until it does")
    if as_json:
        terminal.document(_document(service, status))


@click.command(cls=Command)
@_json_flag
@click.pass_obj
def down(settings: Settings, as_json: bool) -> None:  # noqa: FBT001
    """Stop the embedded service of this machine.

    Containers go on running, and runs that are under way are taken up by the next `wherry up`. `wherry stop` ends a run.
    """
    terminal = Terminal(settings)
    service = _embedded()
    pid = service.stop()
    terminal.note("The service does not run." if pid is None else f"The service (pid {pid}) has stopped.")
    if as_json:
        terminal.document(_document(service, service.status()))


@click.group()
def service() -> None:
    """Look at the embedded service of this machine."""


@service.command("status", cls=Command)
@_json_flag
@click.pass_obj
def service_status(settings: Settings, as_json: bool) -> int:  # noqa: FBT001
    """Say whether it runs and answers, and where its parts are; exit 69 if it does not."""
    terminal = Terminal(settings)
    embedded = _embedded()
    status = embedded.status()
    document = _document(embedded, status)
    if as_json:
        terminal.document(document)
    elif not settings.quiet:
        terminal.answer(f"state           {_state_words(status)}")
        for key, value in document.items():
            if key not in {"schema", "healthy"} and value is not None:
                terminal.answer(f"{key:<15} {value}")
        if status.info is not None and not status.info.engine_version:
            terminal.warn("the Docker engine does not answer")
    return exits.SUCCESS if status.info is not None else exits.UNREACHABLE


@service.command("logs", cls=Command)
@click.option("-f", "--follow", is_flag=True, help="Go on as more is written, until Ctrl-C.")
def service_logs(follow: bool) -> int:  # noqa: FBT001
    """Print the service's own log."""
    embedded = _embedded()
    if not embedded.log_file.exists():
        raise Unknown(f"there is no log at {embedded.log_file}", hint="the service was never started here")
    try:
        with interrupts.told_as_such():
            _print_log(embedded.log_file, follow=follow)
    except KeyboardInterrupt:
        return exits.SUCCESS
    return exits.SUCCESS


def _document(embedded: EmbeddedService, status: Status) -> dict[str, object]:
    return service_document(
        embedded.home,
        pid=status.record.pid if status.record else None,
        address=status.record.address if status.record else None,
        info=status.info,
    )


def _print_log(file: Path, *, follow: bool) -> None:
    with file.open("rb") as log:
        while True:
            while block := log.read(_BLOCK_BYTES):
                sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
            if not follow:
                return
            time.sleep(_POLL_S)


def _state_words(status: Status) -> str:
    if status.info is not None:
        return "running, healthy"
    return "running, but it does not answer" if status.record is not None else "not running"


def _embedded() -> EmbeddedService:
    return EmbeddedService(wherry_home(os.environ), os.environ)
