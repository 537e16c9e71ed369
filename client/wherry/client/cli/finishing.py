"""What happens when a watched run has ended: results into the project, the summary, the metrics, the code."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.client.cli import exits
from wherry.client.cli.ci_log import ci_kind
from wherry.client.cli.following import summary_line, tell_failures
from wherry.client.cli.terminal import Terminal, plain, table
from wherry.client.cli.undeclared import tell_undeclared, undeclared_in
from wherry.client.client import Client
from wherry.client.documents import run_document
from wherry.client.run import Pulled
from wherry.client.run import Run as Handle
from wherry.v1.pipelines_pb2 import OUTPUT_KIND_METRIC
from wherry.v1.runs_pb2 import STATE_CANCELLED, STATE_LOST, STATE_SUCCEEDED, Run

if TYPE_CHECKING:
    from wherry.client.results import ApplyReport

_METRICS_MAX = 30
_METRIC_BYTES_MAX = 1024 * 1024


def run_exit_code(run: Run) -> int:
    """Choose the exit code for how a run ended."""
    if run.state == STATE_SUCCEEDED:
        return exits.SUCCESS
    if run.state == STATE_CANCELLED:
        return exits.CANCELLED
    return exits.TRY_LATER if run.state == STATE_LOST else exits.STAGE_FAILED


def bring_back(terminal: Terminal, client: Client, run: Run, *, pull: Pulled) -> None:
    """Write back what the run changed; `pull` says which outputs come: none, metrics, all."""
    tell_kept(terminal, run.id, Handle(client, run).bring_back(pull))


def tell_kept(terminal: Terminal, run: str, report: "ApplyReport") -> None:
    """Warn of files that somebody changed since the submission."""
    for path in report.kept:
        terminal.warn(
            f"{path} was changed since the submission and is left as it is; "
            f"`wherry apply {run} --force` replaces it"
        )


def finish(
    terminal: Terminal, client: Client, run: Run, *, root: Path | None, as_json: bool, logs_shown: bool
) -> int:
    """Print how the run ended; returns the exit code. With `root`, its metrics as they are in the project."""
    if ci_kind():
        from wherry.client.cli.ci import tell_job  # noqa: PLC0415 - it needs this module

        tell_job(terminal, client, run)
    if run.state not in {STATE_SUCCEEDED, STATE_CANCELLED}:
        shown = logs_shown and not (terminal.is_live or terminal.quiet)
        tell_failures(terminal, client, run, with_logs=not shown)
    if undeclared_in(run, hits=False):
        tell_undeclared(terminal, run, client.stage_names(run))
    if as_json:
        terminal.document(run_document(run))
        return run_exit_code(run)
    if not terminal.quiet:
        terminal.answer(summary_line(run))
        # After a failure the last lines say what failed; `wherry metrics show` has the rest.
        if root is not None and run.state == STATE_SUCCEEDED:
            for line in metrics_table(root, run, width=terminal.width):
                terminal.answer(line)
    return run_exit_code(run)


def metrics_table(root: Path, run: Run, *, width: int) -> list[str]:
    """Lay out the values of the run's metric files (JSON) that are in the project."""
    rows = []
    for path in dict.fromkeys(
        out.path for stage in run.stages for out in stage.outs if out.kind == OUTPUT_KIND_METRIC and out.hash
    ):
        rows += [(plain(path), name, value) for name, value in _values(root / path)]
    if not rows:
        return []
    more = [f"… and {len(rows) - _METRICS_MAX} more"] if len(rows) > _METRICS_MAX else []
    return ["", *table(("Path", "Metric", "Value"), rows[:_METRICS_MAX], width=width), *more]


def _values(file: Path) -> Iterable[tuple[str, str]]:
    try:
        if file.suffix != ".json" or file.stat().st_size > _METRIC_BYTES_MAX:
            return []
        return list(_flatten("", json.loads(file.read_text(encoding="utf-8"))))
    except (OSError, ValueError, RecursionError):
        return []


def _flatten(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, bool | int | str):
        yield plain(prefix), plain(str(value))
    elif isinstance(value, float):
        yield plain(prefix), f"{value:.5g}"
