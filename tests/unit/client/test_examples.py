"""The examples in the help of the commands."""

import shlex
from collections.abc import Iterator

import click
import pytest

from wherry.client.cli import wherry as program
from wherry.client.cli.examples import EXAMPLES
from wherry.client.cli.settings import Settings


def leaves(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, (*path, name))


LEAVES = dict(leaves(program))


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_examples_that_it_understands(path: tuple[str, ...]) -> None:
    command = LEAVES[path]
    examples = EXAMPLES.get(" ".join(path), ())
    # Those with a help of their own that shows them need no table.
    assert examples or "wherry " in (command.help or ""), path
    for line, meaning in examples:
        assert meaning
        if "$(" in line:
            continue
        words = shlex.split(line.replace("||", ";").replace(">", ";").replace("<", ";").partition(";")[0])
        assert tuple(words[1 : 1 + len(path)]) == path, line
        command.make_context(path[-1], words[1 + len(path) :], obj=Settings())


def test_no_example_is_of_a_command_that_is_not_there() -> None:
    assert {tuple(name.split()) for name in EXAMPLES} <= set(LEAVES)
