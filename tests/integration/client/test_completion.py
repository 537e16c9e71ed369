"""What the shells themselves complete, with the scripts that `wherry completion` prints."""

import subprocess
from pathlib import Path

import pytest

from tests.integration.client.conftest import WHERRY
from tests.integration.client.screens import in_terminal
from wherry.client.known_names import KnownNames

_START = {
    # A prompt that says when the shell has done what it was told.
    "bash": (("bash", "--norc", "--noprofile", "-i"), "PS1='ready> '; bind 'set bell-style none'\n"),
    "zsh": (("zsh", "-f", "-i"), "PS1='ready> '; autoload -Uz compinit; compinit -D -u; unsetopt beep\n"),
}


@pytest.fixture
def known(project: Path, environment: dict[str, str]) -> dict[str, str]:
    """Names were seen by an earlier command; `wherry` is on the PATH."""
    names = KnownNames(project)
    names.keep_stages(["train@0.1", "train@0.2", "sub/dvc.yaml:evaluate", "unique"], whole=True)
    names.keep_runs([("41", "brave-otter", "failed"), ("42", "calm-seal", "succeeded")])
    return {**environment, "PATH": f"{WHERRY.parent}:{environment['PATH']}", "HOME": str(project.parent)}


_TYPED = (
    # What is typed before the tabulator, and the line as it is then.
    ("wherry whoa", "wherry whoami"),
    ("wherry why un", "wherry why unique"),
    ("wherry why tr", "wherry why train@0."),
    ("wherry why train@0.1", "wherry why train@0.1"),
    ("wherry why sub/dvc.yaml:ev", "wherry why sub/dvc.yaml:evaluate"),
    ("wherry why sub/dv", "wherry why sub/dvc.yaml:evaluate"),
    ("wherry logs br", "wherry logs brave-otter"),
    ("wherry logs brave-otter un", "wherry logs brave-otter unique"),
    ("wherry repro --pul", "wherry repro --pull"),
)


@pytest.mark.parametrize("shell", _START)
def test_a_shell_completes_commands_stages_and_runs(shell: str, project: Path, known: dict[str, str]) -> None:
    command, begin = _START[shell]
    with in_terminal(command, folder=project, environment=known, columns=100) as screen:
        screen.type(begin.encode())
        screen.type(f'source <(wherry completion {shell}) && echo "read"y\n'.encode())
        screen.until(lambda: "ready" in screen.text() and screen.text()[-1] == "ready>")
        for typed, completed in _TYPED:
            # Out of the way of what the last one showed. The line editor does it: while a program like `clear` runs, the
            # terminal itself would take the tabulator.
            screen.type(b"\x15\x0c")
            screen.until(lambda: screen.text() == ["ready>"])
            screen.type(typed.encode() + b"\t")
            screen.until(lambda line=completed: screen.text()[:1] == [f"ready> {line}"])  # type: ignore[misc]
        screen.type(b"\x15exit\n")
        assert screen.end() == 0


def test_fish_offers_commands_stages_and_runs(project: Path, known: dict[str, str]) -> None:
    asked = "; ".join(f"complete -C '{typed}'; echo =" for typed, _ in _TYPED)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"wherry completion fish | source; {asked}"],
        cwd=project,
        env=known,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    answers = [answer.strip().splitlines() for answer in done.stdout.split("=\n")][: len(_TYPED)]
    assert [[line.partition("\t")[0] for line in sorted(answer)] for answer in answers] == [
        ["whoami"],
        ["unique"],
        ["train@0.1", "train@0.2"],
        ["train@0.1"],
        ["sub/dvc.yaml:evaluate"],
        ["sub/dvc.yaml:evaluate"],
        ["brave-otter"],
        ["unique"],
        ["--pull"],
    ]
    assert any(line.endswith("\t41 failed") for line in answers[6])
