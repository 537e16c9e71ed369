"""`wherry status` and `wherry dag`: what the pipeline is and what would happen, with nothing run."""

from collections.abc import Iterable

import click

from wherry.client.cli import exits
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal, plain, table
from wherry.client.documents import dag_document, decision_word, plan_document
from wherry.client.submission import Selection
from wherry.v1.pipelines_pb2 import DECISION_FROZEN, DECISION_HIT, Pipeline, Plan


@click.command(cls=Command)
@click.argument("targets", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.plan/1.")
@click.pass_obj
def status(settings: Settings, targets: tuple[str, ...], as_json: bool) -> int:  # noqa: FBT001 - click passes flags by name
    """Show what `wherry repro` would do, and why; nothing runs.

    With -q nothing is printed, and the exit code is 1 if anything would run.
    """
    with open_session(settings) as (client, terminal):
        plan = client.plan(Selection(targets=targets))
        if as_json or not settings.quiet:
            tell_plan(terminal, plan, as_json=as_json)
        return exits.STAGE_FAILED if settings.quiet and has_work(plan) else exits.SUCCESS


def has_work(plan: Plan) -> bool:
    """Whether anything would run."""
    return any(stage.decision not in {DECISION_HIT, DECISION_FROZEN} for stage in plan.stages)


def tell_plan(terminal: Terminal, plan: Plan, *, as_json: bool) -> None:
    """Print a plan, as JSON or as a table."""
    if as_json:
        terminal.document(plan_document(plan))
        return
    words = [decision_word(stage.decision) for stage in plan.stages]
    rows = [
        (plain(stage.name), word, plain("; ".join(stage.reasons)))
        for stage, word in zip(plan.stages, words, strict=True)
    ]
    # -v shows reasons whole; otherwise a line is a line.
    width = 100_000 if terminal.verbosity else terminal.width
    lines = table(("NAME", "DECISION", "REASON"), rows, width=width)
    terminal.answer(lines[0])
    for (name, _, _), word, line in zip(rows, words, lines[1:], strict=True):
        head, tail = line[: len(name)], line[len(name) :]
        terminal.answer(head + tail.replace(word, terminal.paint(word, word), 1))


@click.command(cls=Command)
@click.argument("targets", nargs=-1)
@click.option("--json", "form", flag_value="json", help="Print wherry.dag/1.")
@click.option("--mermaid", "form", flag_value="mermaid", help="Print a Mermaid flowchart.")
@click.pass_obj
def dag(settings: Settings, targets: tuple[str, ...], form: str | None) -> int:
    """Show the stages and what they depend on.

    One stage a line, indented by how far it is from the sources.
    """
    with open_session(settings) as (client, terminal):
        pipeline = client.describe(Selection(targets=targets))
        if form == "json":
            terminal.document(dag_document(pipeline))
            return exits.SUCCESS
        for line in mermaid_lines(pipeline) if form == "mermaid" else list_lines(pipeline):
            terminal.answer(line)
        return exits.SUCCESS


def list_lines(pipeline: Pipeline) -> Iterable[str]:
    """List stages in topological order, each with what it depends on."""
    producers: dict[str, list[str]] = {}
    for edge in pipeline.edges:
        producers.setdefault(edge.consumer, []).append(edge.producer)
    depth: dict[str, int] = {}
    for stage in pipeline.stages:
        before = sorted(producers.get(stage.name, []))
        depth[stage.name] = 1 + max((depth.get(name, 0) for name in before), default=-1)
        after = f"  <- {', '.join(map(plain, before))}" if before else ""
        notes = [
            word for word, is_so in (("frozen", stage.frozen), ("always", stage.always_changed)) if is_so
        ]
        marks = f"  ({', '.join(notes)})" if notes else ""
        yield f"{'  ' * depth[stage.name]}{plain(stage.name)}{marks}{after}"


def mermaid_lines(pipeline: Pipeline) -> Iterable[str]:
    """Write a flowchart, in the form that `dvc dag --mermaid` has."""
    nodes = {stage.name: f"node{index}" for index, stage in enumerate(pipeline.stages, 1)}
    yield "flowchart TD"
    for name, node in nodes.items():
        yield f'\t{node}["{plain(name).replace(chr(34), "#quot;")}"]'
    for edge in pipeline.edges:
        if edge.producer in nodes and edge.consumer in nodes:
            yield f"\t{nodes[edge.producer]}-->{nodes[edge.consumer]}"
