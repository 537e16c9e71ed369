"""`wherry dag`: what the pipeline is, with nothing run."""

import click

from wherry.client.cli import exits
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import plain
from wherry.client.documents import dag_document
from wherry.client.drawing import (
    collapsed,
    dot_text,
    list_lines,
    markdown_text,
    mermaid_text,
    outputs_drawing,
    stages_drawing,
)
from wherry.client.selection import Selection


@click.command(cls=Command)
@click.argument("targets", nargs=-1)
@click.option("--json", "form", flag_value="json", help="Print wherry.dag/1: stages, whole.")
@click.option("--dot", "form", flag_value="dot", help="Print a graph for Graphviz.")
@click.option("--mermaid", "form", flag_value="mermaid", help="Print a Mermaid flowchart.")
@click.option("--md", "form", flag_value="md", help="Print a Mermaid flowchart in a block of Markdown.")
@click.option("-o", "--outs", is_flag=True, help="Show outputs instead of stages.")
@click.option("--full", is_flag=True, help="Show all that is connected with the targets.")
@click.option(
    "--collapse-foreach-matrix", "collapse", is_flag=True, help="Show a foreach or matrix as one stage."
)
@click.pass_obj
def dag(  # noqa: PLR0917 - one parameter for each flag of the contract
    settings: Settings,
    targets: tuple[str, ...],
    form: str | None,
    outs: bool,  # noqa: FBT001 - click passes flags by name
    full: bool,  # noqa: FBT001
    collapse: bool,  # noqa: FBT001
) -> int:
    """Show the stages and what they depend on.

    TARGETS are stages in DVC's grammar, or outputs: they are shown with all they depend on. Without any, the
    whole project is shown. Names and paths are relative to where you are.
    """
    if outs and collapse:
        raise click.UsageError("--outs and --collapse-foreach-matrix exclude each other")
    if form == "json" and (outs or collapse):
        raise click.UsageError(
            "--json has stages with their outputs: neither --outs nor --collapse-foreach-matrix"
        )
    with open_session(settings) as (client, terminal):
        pipeline = client.describe(Selection(targets=targets), full=full, outputs=outs)
        if form == "json":
            terminal.document(dag_document(pipeline))
            return exits.SUCCESS
        drawing = outputs_drawing(pipeline, client.project.folder) if outs else stages_drawing(pipeline)
        if collapse:
            drawing = collapsed(drawing)
        if form == "dot":
            lines = dot_text(drawing).split("\n")
        elif form in {"mermaid", "md"}:
            lines = (mermaid_text if form == "mermaid" else markdown_text)(drawing).split("\n")
        else:
            order = None if outs or collapse else [stage.name for stage in pipeline.stages]
            lines = list(list_lines(drawing, order))
        for line in lines:
            terminal.answer(plain(line))
        return exits.SUCCESS
