"""`wherry open`: a run as a page in the browser."""

import tempfile
import webbrowser
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from wherry.client.cli.run_page import Output, RunReading, write_run_page
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal, output_text
from wherry.client.client import Client
from wherry.client.run import Run
from wherry.client.unwritable import cannot_write

_TAIL_LINES = 500


@click.command("open", cls=Command)
@click.argument("run")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the page there, and open no browser.",
)
@click.option("--no-logs", is_flag=True, help="Leave out what the stages wrote.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.page/1, and open no browser.")
@click.pass_obj
def open_run(settings: Settings, run: str, output: Path | None, no_logs: bool, as_json: bool) -> None:  # noqa: FBT001, PLR0917
    """Look at a run in the browser: stages, when they ran, metrics, parameters, and the end of what they wrote.

    The page is a file of its own: it can be kept, or sent to somebody who has no access to the service.
    """
    with open_session(settings) as (client, terminal):
        found = client.run(run)
        page = write_run_page(_read(client, found, logs=not no_logs), datetime.now(UTC))
        file = _write(output or Path(tempfile.mkdtemp(prefix="wherry-")) / f"run-{found.id}.html", page)
        if as_json:
            terminal.document({"schema": "wherry.page/1", "run": found.id, "file": str(file)})
            return
        terminal.answer(file.as_uri())
        if output is None:
            _show(terminal, file)


def _read(client: Client, run: Run, *, logs: bool) -> RunReading:
    return RunReading(
        run=run.record,
        metrics=run.metrics,
        params=run.params,
        outputs=_outputs(client, run) if logs else (),
    )


def _outputs(client: Client, run: Run) -> Sequence[Output]:
    """The end of what each stage wrote, in the order of the run's stages; what was said of the run itself comes first."""
    tails = {stage: deque[str](maxlen=_TAIL_LINES) for stage in ("", *run.stages)}
    counts = Counter[str]()
    for line in client.logs(run.id):
        counts[line.stage] += 1
        tails[line.stage].append(output_text(line.text, color=False))
    return [
        Output(stage=stage, lines=tuple(lines), left_out=counts[stage] - len(lines))
        for stage, lines in tails.items()
    ]


def _write(file: Path, page: str) -> Path:
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as exc:
        raise cannot_write(file, exc) from exc
    return file.resolve()


def _show(terminal: Terminal, file: Path) -> None:
    if not webbrowser.open(file.as_uri()):
        terminal.note(f"No browser was found here: open {file} in one.")
