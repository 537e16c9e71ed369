"""`wherry stage add` beside `dvc stage add` in the same project, and `wherry lint`."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.harness import Project

Make = Callable[[dict[str, str]], Project]

PIPELINE = "# ours\nstages:\n  first:   # begins\n    cmd: cp a b\n    deps: [a]\n    outs: [b]\n"
FILES = {"a": "1\n", "dvc.yaml": PIPELINE, "sub/code.py": "", "tracked.txt": "", ".dvcignore": "hidden*\n"}


def edited_files(root: Path) -> dict[str, bytes]:
    names = ("dvc.yaml", ".gitignore", "sub/dvc.yaml", "sub/.gitignore")
    return {name: (root / name).read_bytes() for name in names if (root / name).exists()}


def test_stages_added_one_after_another_leave_the_files_as_dvc_does(
    make_project: Make, tmp_path: Path
) -> None:
    ours = make_project(FILES)
    theirs = Project(Path(shutil.copytree(ours.root, tmp_path / "theirs")), ours.service)
    commands = [
        (
            "-n",
            "two",
            "-d",
            "b",
            "-d",
            "hidden",
            "-p",
            "lr,f.json:k",
            "-o",
            "z[1]",
            "-O",
            "y",
            "-M",
            "m.json",
            "cp b c",
        ),
        (
            "-n",
            "three",
            "-w",
            "sub",
            "-d",
            "../b",
            "--outs-persist",
            "keep",
            "--plots",
            "p.csv",
            "echo",
            "a b",
        ),
        ("-n", "four", "-d", str(ours.root / "sub/code.py"), "-o", "sub/deep", "--always-changed", "run"),
        (
            "-f",
            "-n",
            "first",
            "--desc",
            "new",
            "-d",
            "a",
            "-d",
            "sub/code.py",
            "-o",
            "b",
            "-o",
            "b2",
            "cp",
            "-r",
            "a",
            "b",
        ),
    ]
    for command in commands:
        done = ours.wherry("stage", "add", *command).expect(0)
        assert done.out == f"Added stage {command[command.index('-n') + 1]!r} in 'dvc.yaml'\n"
        theirs.dvc(
            "stage", "add", *(part.replace(str(ours.root), str(theirs.root)) for part in command)
        ).expect(0)
        assert edited_files(ours.root) == edited_files(theirs.root)
    below = ("-n", "one", "-d", "code.py", "-d", "../b2", "-o", "x", "python code.py")
    ours.wherry("-C", "sub", "stage", "add", *below).expect(0)
    theirs.dvc("--cd", "sub", "stage", "add", *below).expect(0)
    assert edited_files(ours.root) == edited_files(theirs.root)
    assert len(edited_files(ours.root)) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(("-n", "first", "x"), 6, "--force", id="there already"),
        pytest.param(("-n", "s.t", "x"), 6, "'s.t'", id="a name DVC refuses"),
        pytest.param(("-n", "s", "-o", "b", "x"), 6, "'first'", id="another's output"),
        pytest.param(("-n", "s", "-o", "tracked.txt", "x"), 6, "git rm", id="an output that git tracks"),
        pytest.param(("-n", "s", "-o", "hidden/x", "x"), 6, ".dvcignore", id="hidden from DVC"),
        pytest.param(("-n", "s", "-w", "gone", "x"), 6, "'gone'", id="no working folder"),
        pytest.param(("-n", "s"), 6, "command", id="no command"),
        pytest.param(("x",), 254, "--name", id="no name"),
    ],
)
def test_a_refused_stage_changes_nothing(
    make_project: Make, arguments: tuple[str, ...], code: int, says: str
) -> None:
    project = make_project(FILES)
    before = edited_files(project.root)
    done = project.wherry("stage", "add", *arguments).expect(code)
    assert says in done.err
    assert edited_files(project.root) == before
    assert project.dvc("stage", "add", *arguments).code != 0


def test_a_pipeline_file_that_git_ignores_is_not_overwritten(make_project: Make) -> None:
    project = make_project({".gitignore": "/sub/dvc.yaml\n"})
    project.write({"sub/dvc.yaml": PIPELINE})
    done = project.wherry("-C", "sub", "stage", "add", "-n", "s", "x").expect(255)
    assert "hides" in done.err
    assert (project.root / "sub" / "dvc.yaml").read_text() == PIPELINE


def test_lint_tells_all_mistakes_at_once_and_then_none(make_project: Make) -> None:
    wrong = (
        "stages:\n  one:\n    comand: x\n    cmd: x\n    deps: i\n  two: {cmd: '${lr}${gone}', outs: [o]}\n"
    )
    project = make_project({"sub/dvc.yaml": wrong, "sub/params.yaml": "lr: 1\n"})
    done = project.wherry("lint").expect(6)
    errors = [line for line in done.out.splitlines() if ": error: " in line]
    assert [line.split(": error: ")[0] for line in errors] == [
        "sub/dvc.yaml:3:5",
        "sub/dvc.yaml:5:5",
        "sub/dvc.yaml:6:9",
    ]
    assert "hint: Did you mean 'cmd'?" in done.out
    assert project.wherry("-C", "sub", "lint").expect(6).out.startswith("dvc.yaml:3:5: error: ")

    document = project.wherry("lint", "--json").expect(6).json()
    assert document["schema"] == "wherry.lint/1"
    assert document["problems"][1] == {
        "path": "sub/dvc.yaml",
        "line": 5,
        "column": 5,
        "id": "PIPELINE_INVALID",
        "message": "stage 'one': stages.one.deps must be a list, not text",
        "hint": "Write it as a list: [i]",
    }

    project.write({"sub/dvc.yaml": "stages:\n  one: {cmd: 'x ${lr}'}\n"})
    assert project.wherry("lint").expect(0).out == "No mistakes found.\n"
    assert project.wherry("lint", "--json").expect(0).json() == {"schema": "wherry.lint/1", "problems": []}
