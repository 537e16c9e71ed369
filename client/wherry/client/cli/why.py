"""`wherry why`: the cache decision about one stage, explained."""

import click

from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal, plain
from wherry.client.documents import decision_word
from wherry.v1.pipelines_pb2 import Explanation, ResultOrigin


@click.command(cls=Command)
@click.argument("stage")
@click.option("--run", "run_name", metavar="RUN", help="Explain what was decided in this run.")
@click.option("--json", "as_json", is_flag=True, help="Print wherry.why/1.")
@click.pass_obj
def why(settings: Settings, stage: str, run_name: str | None, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Explain why a stage runs, or whose result is used instead.

    Of a stage that runs it names the nearest known result, of a stage with the same outputs in the same
    folder, and every part that differs: command, dependencies, parameters, image, environment, network.
    With --run, parts that were not recorded with a failed stage (command, environment, network) are not compared.
    """
    with open_session(settings) as (client, terminal):
        explained = client.why(stage, run=run_name or "")
        if as_json:
            terminal.document(explained.to_dict())
            return
        names = client.stage_names(client.run(run_name).record if run_name else None)
        _tell(terminal, explained.record, names.seen(explained.stage))


def _tell(terminal: Terminal, explanation: Explanation, name: str) -> None:
    word = decision_word(explanation.decision)
    terminal.answer(f"{plain(name)}: {terminal.paint(word, word)}")
    for reason in explanation.reasons:
        terminal.answer(f"  {plain(reason)}")
    if explanation.HasField("nearest"):
        terminal.answer(f"  nearest: {_origin_words(explanation.nearest)}")
        for difference in explanation.differences:
            terminal.answer(f"    {plain(difference.text)}")
        if not explanation.differences:
            terminal.answer("    nothing that is recorded differs")
    if explanation.HasField("origin") and terminal.verbosity:
        terminal.answer(f"  {_origin_words(explanation.origin)}")
    if explanation.key and terminal.verbosity:
        terminal.answer(f"  key {plain(explanation.key)}")


def _origin_words(origin: ResultOrigin) -> str:
    when = f", {origin.created_at.ToJsonString()[:19]}Z" if origin.HasField("created_at") else ""
    return f"run {plain(origin.run)} by {plain(origin.user)}{when}"
