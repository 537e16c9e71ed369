"""`wherry completion`, and what completes names of stages and runs."""

import os
from pathlib import Path

import click
from click.shell_completion import BashComplete, CompletionItem, ShellComplete, get_completion_class

from wherry.client.cli.settings import Command, Settings
from wherry.client.known_names import KnownNames
from wherry.client.project import find_root

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_WHERRY_COMPLETE"

# Bash cuts words at the characters of COMP_WORDBREAKS, and expects an answer to the last piece alone: of
# "sub/dvc.yaml:tr" it asks for "tr". The pieces are put together again for the question, and the part before the last
# piece is taken off the answers.
_BASH = r"""%(complete_func)s() {
    local rest="${COMP_LINE:0:COMP_POINT}" before piece word="" count=0 i
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        before="$rest"
        rest="${rest#"${rest%%%%[![:space:]]*}"}"
        piece="${COMP_WORDS[i]}"
        [[ "$rest" == "$piece"* ]] || piece="$rest"
        if ((i > 0)) && [[ "$before" == "$rest" ]]; then
            words[count - 1]+="$piece"
        else
            words[count++]="$piece"
        fi
        rest="${rest#"$piece"}"
    done
    word="${words[count - 1]}"
    local breaks="${COMP_WORDBREAKS//[^:=@]/}" head=""
    if [[ -n "$breaks" && "$word" == *["$breaks"]* ]]; then
        head="${word%%"${word##*["$breaks"]}"}"
    fi
    local IFS=$'\n' kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case "$kind" in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("${value#"$head"}") ;;
        esac
    done < <(IFS=' '; COMP_WORDS="${words[*]}" COMP_CWORD=$((count - 1)) %(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    """As click's, for names with ":", "=" and "@" in them: DVC's names of stages have all three."""

    source_template = _BASH


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands, stages and runs in a shell.

    Names of stages and runs are those that were seen last by a command in the project: nothing is asked for them.
    """
    kind: type[ShellComplete] | None = _Bash if shell == "bash" else get_completion_class(shell)
    assert kind is not None
    print(kind(ctx.find_root().command, {}, "wherry", _VARIABLE).source())


def complete_runs(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer runs: by number, or by name once a letter says that a name is meant."""
    root = find_root(_folder(ctx))
    runs = KnownNames(root).runs if root is not None else []
    by_name = incomplete[:1].isalpha()
    # The script for fish takes nothing behind a comma.
    return [
        CompletionItem(name if by_name else id_, help=f"{id_ if by_name else name} {state}")
        for id_, name, state in runs
        if (name if by_name else id_).startswith(incomplete)
    ]


def complete_stages(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer stages, as they are called where the command is typed."""
    here = _folder(ctx)
    root = find_root(here)
    if root is None:
        return []
    folder = Path(os.path.realpath(here)).relative_to(root).as_posix()
    names = KnownNames(root).stages_seen("" if folder == "." else folder)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _folder(ctx: click.Context) -> Path:
    settings = ctx.find_object(Settings)
    return settings.folder if settings is not None else Path()
