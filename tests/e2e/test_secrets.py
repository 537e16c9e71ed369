"""Secrets, from the command line to the stage and nowhere else."""

from collections.abc import Callable

from tests.e2e.harness import Project, files_that_hold

VALUE = "hunter2-is-$it's"

TOLD = """
import os, sys, time
value, file = os.environ["TOKEN"], "/run/secrets/TOKEN"
print(f"token {value}, flag {os.environ['FLAG']}", flush=True)
# In two pieces.
print(value[:5], end="", flush=True)
time.sleep(0.2)
print(value[5:], flush=True)
state = os.stat(file)
print(open(file).read(), oct(state.st_mode & 0o777), state.st_uid == os.getuid(), flush=True)
print("told on stderr:", value, file=sys.stderr)
open("made", "w").write(str(len(value)))
"""


def test_a_secret_reaches_its_stage_and_nothing_that_is_kept(
    make_project: Callable[[dict[str, str]], Project],
) -> None:
    project = make_project(
        {
            "told.py": TOLD,
            "dvc.yaml": "stages:\n"
            "  told:\n"
            "    cmd: python3 told.py\n"
            "    meta: {wherry: {secrets: [TOKEN]}}\n"
            "    outs: [made]\n"
            "  untold:\n"
            '    cmd: test -z "$TOKEN" && test ! -e /run/secrets && cat /proc/1/environ > seen\n'
            "    outs: [seen]\n",
        }
    )
    refused = project.wherry("repro", "told").expect(255)
    assert "stage 'told' wants the secret 'TOKEN'" in refused.err
    assert "wherry secret set TOKEN" in refused.err
    assert "dvc.yaml:" in refused.err

    set_ = project.service.wherry("secret", "set", "TOKEN", cwd=project.root, stdin=VALUE + "\n").expect(0)
    assert VALUE not in set_.out + set_.err
    project.service.wherry("secret", "set", "FLAG", cwd=project.root, stdin="of-the-flag").expect(0)
    listed = project.wherry("secret", "ls", "--json").expect(0)
    assert [secret["name"] for secret in listed.json()["secrets"]] == ["FLAG", "TOKEN"]

    ran = project.wherry("repro", "--secret", "FLAG", "told").expect(0)
    shown = [line.partition(" | ")[2] for line in ran.err.splitlines() if " | " in line]
    assert sorted(line for line in shown if not line.startswith("$ ")) == [
        "***",
        "*** 0o400 True",
        "token ***, flag ***",
        "told on stderr: ***",
    ]
    assert (project.root / ".gitignore").read_text() == "/made\n"
    project.wherry("pull", "made").expect(0)
    assert (project.root / "made").read_text() == str(len(VALUE))
    project.wherry("repro", "untold").expect(0)
    home = project.service.home
    kept = [*home.glob("wherry.db*"), home / "service.log", *(home / "logs").rglob("*.jsonl")]
    assert len(kept) > 2
    assert files_that_hold("told on stderr: ", *kept) != []
    assert files_that_hold(VALUE, *kept) == []

    project.wherry("secret", "rm", "TOKEN").expect(0)
    assert "no secret 'TOKEN'" in project.wherry("secret", "rm", "TOKEN").err
