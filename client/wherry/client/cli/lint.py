"""`wherry lint`."""

import posixpath

import click

from wherry.client.cli import exits
from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import plain
from wherry.client.documents import lint_document
from wherry.v1.pipelines_pb2 import LintProblem


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.lint/1.")
@click.pass_obj
def lint(settings: Settings, as_json: bool) -> int:  # noqa: FBT001 - click passes flags by name
    """Find every mistake in dvc.yaml, parameters, locks and settings at once.

    Exit code 6 if there is any. Nothing runs, and data is not looked at.
    """
    with open_session(settings) as (client, terminal):
        report = client.lint()
        if as_json:
            terminal.document(lint_document(report))
        else:
            for problem in report.problems:
                for line in problem_lines(problem, client.project.folder or "."):
                    terminal.answer(line)
            if not report.problems and not settings.quiet:
                terminal.answer("No mistakes found.")
        return exits.INVALID if report.problems else exits.SUCCESS


def problem_lines(problem: LintProblem, folder: str) -> list[str]:
    """Write a mistake as editors expect it, its path as seen from `folder`; the hint goes below it."""
    path = plain(posixpath.relpath(problem.path, folder)) if problem.path else "?"
    place = [path, *(str(number) for number in (problem.line, problem.column) if number)]
    lines = [f"{':'.join(place)}: error: {plain(problem.message)}"]
    return [*lines, f"    hint: {plain(problem.hint)}"] if problem.hint else lines
