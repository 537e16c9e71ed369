"""`wherry ci`: what a job in CI tells of a run."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import click

from wherry.client.cli import exits
from wherry.client.cli.ci_log import annotations, ci_kind
from wherry.client.cli.finishing import run_exit_code
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal
from wherry.client.client import Client
from wherry.client.comparing import DiffStyle, Json, compare, diff_rows
from wherry.client.documents import state_word
from wherry.client.errors import ClientError, FileTrouble
from wherry.client.report import Section, cell, report_text
from wherry.client.revisions import Which
from wherry.client.unwritable import cannot_write
from wherry.client.watching import ENDED
from wherry.v1.pipelines_pb2 import Pipeline
from wherry.v1.runs_pb2 import Run


@click.group()
def ci() -> None:
    """Tell a job in CI, and whoever reads its change, about a run."""


@ci.command("report", cls=Command)
@click.argument("run")
@click.option(
    "--base",
    default="",
    metavar="REV",
    help="Compare metrics and parameters with this commit. Default: the target of the change, where CI says it.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write into this file.")
@click.option(
    "--summary",
    is_flag=True,
    help="Append to the summary of the job too, and annotate dvc.yaml, where GitHub runs it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.report/1, with the Markdown in it.")
@click.option("--exit-code", is_flag=True, help="Exit as `wherry repro` would have for this run.")
@click.pass_obj
def report(  # noqa: PLR0917 - one parameter for each flag
    settings: Settings,
    run: str,
    base: str,
    output: Path | None,
    summary: bool,  # noqa: FBT001 - click passes flags by name
    as_json: bool,  # noqa: FBT001
    exit_code: bool,  # noqa: FBT001
) -> int:
    """Print a run as Markdown: states, savings, metrics and parameters against the base, and the graph."""
    with open_session(settings) as (client, terminal):
        found = client.run(run).record
        if found.state not in ENDED:
            terminal.warn(f"run {found.id} is still going on: this is how it stands")
        pipeline = _pipeline(client, found)
        text = _text(client, terminal, found, pipeline=pipeline, base=base)
        if as_json:
            against = base or default_base(os.environ)
            terminal.document(
                {
                    "schema": "wherry.report/1",
                    "run": found.id,
                    "state": state_word(found.state),
                    "base": against or None,
                    "markdown": text,
                    "file": str(output) if output is not None else None,
                }
            )
        elif output is None:
            sys.stdout.write(text)
        if output is not None:
            _write(output, text, append=False)
            terminal.note(f"The report is in {output}.")
        if summary:
            tell_job(terminal, client, found, text=text, pipeline=pipeline)
        return run_exit_code(found) if exit_code else exits.SUCCESS


def tell_job(
    terminal: Terminal, client: Client, run: Run, *, text: str = "", pipeline: Pipeline | None = None
) -> None:
    """Where GitHub runs us: annotate the stages that failed, and add the report to the summary of the job."""
    if ci_kind() != "github":
        return
    known = pipeline or _pipeline(client, run)
    for line in annotations(run, _places(client, known)):
        print(line, file=sys.stderr, flush=True)
    file = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if file:
        with contextlib.suppress(FileTrouble):  # the job has its result all the same
            _write(Path(file), text or _text(client, terminal, run, pipeline=known, base=""), append=True)
            terminal.detail("the summary of the job has the report")


def _text(client: Client, terminal: Terminal, run: Run, *, pipeline: Pipeline | None, base: str) -> str:
    sections = list(_sections(client, terminal, run, base or default_base(os.environ)))
    return report_text(run, sections=sections, pipeline=pipeline)


def default_base(environ: Mapping[str, str]) -> str:
    """Name the commit that a change is made against; empty when no job says so."""
    if environ.get("GITHUB_BASE_REF"):
        return f"origin/{environ['GITHUB_BASE_REF']}"
    return environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", "")


def _sections(client: Client, terminal: Terminal, run: Run, base: str) -> Iterator[Section]:
    """Metrics and parameters of the run against those of the base."""
    if not base:
        return
    kinds: tuple[tuple[Literal["metrics", "params"], str, bool], ...] = (
        ("metrics", "Metric", True),
        ("params", "Param", False),
    )
    for kind, title, changed in kinds:
        style = DiffStyle(
            title=title, old_name=base, new_name=f"run {run.id}", with_change=changed, precision=5
        )
        try:
            header, rows = diff_rows(_changes(client, run, base, kind), style)
        except ClientError as error:
            terminal.warn(f"{kind} are not compared with {base}: {error.message}")
            continue
        yield Section(
            title=f"{kind.capitalize()} against `{cell(base)}`", header=header, rows=rows, empty="No change."
        )


def _changes(
    client: Client, run: Run, base: str, kind: Literal["metrics", "params"]
) -> dict[str, dict[str, Json]]:
    names = (base, f"run:{run.id}")
    found = client.revisions().gather(Which(names=names), kind)
    old, new = (found.get(name, {}) for name in names)
    return compare(old.get("data", {}), new.get("data", {}), unchanged=False)


def _pipeline(client: Client, run: Run) -> Pipeline | None:
    """The pipeline of the folder, if it is that of the run."""
    try:
        return client.describe() if client.project.name == run.project else None
    except ClientError:  # the report says what became of the run without it
        return None


def _places(client: Client, pipeline: Pipeline | None) -> dict[str, tuple[str, int]]:
    if pipeline is None:
        return {}
    project = client.project
    above = "" if project.git_root is None else project.root.relative_to(project.git_root).as_posix()
    prefix = "" if above in {"", "."} else f"{above}/"
    names = client.stage_names()
    return {
        names.from_root(stage.name): (f"{prefix}{stage.file}", stage.line)
        for stage in pipeline.stages
        if not stage.is_source
    }


def _write(file: Path, text: str, *, append: bool) -> None:
    try:
        with file.open("a" if append else "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as exc:
        raise cannot_write(file, exc) from exc
