"""Bad input: each is answered with a sentence, a place and its exit code, before anything runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import STAGE_IMAGE, Project, Service, run, states, until_no_container_is_left

Make = Callable[[dict[str, str]], Project]

ONE_STAGE = "stages:\n  copy:\n    cmd: cp a b\n    deps: [a]\n    outs: [b]\n"


def runs_of(project: Project) -> list[Any]:
    return list(project.wherry("ps", "-a", "--json").expect(0).json()["runs"])


@pytest.mark.parametrize(
    ("files", "args", "code", "says"),
    [
        pytest.param({"dvc.yaml": "stages:\n  a: {cmd: [\n"}, (), 6, "dvc.yaml:", id="invalid YAML"),
        pytest.param({"dvc.yaml": "stages:\n  a:\n    comand: x\n"}, (), 6, "dvc.yaml:3", id="unknown key"),
        pytest.param({"dvc.yaml": ONE_STAGE, "a": "1"}, ("cpoy",), 5, "copy", id="unknown stage"),
        pytest.param({"dvc.yaml": ONE_STAGE}, (), 6, "dvc.yaml:2", id="a dep that is nowhere"),
        pytest.param(
            {
                "dvc.yaml": "stages:\n"
                "  one: {cmd: x, deps: [a], outs: [b]}\n"
                "  two: {cmd: x, deps: [b], outs: [a]}\n"
            },
            (),
            6,
            "one",
            id="a cycle",
        ),
        pytest.param(
            {"dvc.yaml": "stages:\n  one: {cmd: x, outs: [b]}\n  two: {cmd: x, outs: [b]}\n"},
            (),
            6,
            "'b'",
            id="two stages with one output",
        ),
        pytest.param(
            {"dvc.yaml": ONE_STAGE, "a": "1"},
            ("--image", "no-such-image-anywhere:1"),
            6,
            "no-such-image-anywhere:1",
            id="an image that does not exist",
        ),
        pytest.param(
            {"dvc.yaml": ONE_STAGE.replace("[a]", "[a, 's3://bucket/key']"), "a": "1"},
            (),
            6,
            "s3://bucket/key",
            id="a dependency that the service does not reach",
        ),
        pytest.param(
            {"dvc.yaml": ONE_STAGE, "a": "1"}, ("-S", "x=1"), 6, "params.yaml", id="params that are not there"
        ),
    ],
)
def test_a_wrong_pipeline_is_refused(
    make_project: Make, files: dict[str, str], args: tuple[str, ...], code: int, says: str
) -> None:
    project = make_project(files)
    before = runs_of(project)

    done = project.wherry("repro", *args).expect(code)

    assert "\nerror: " in "\n" + done.err
    assert says in done.err
    assert done.out == ""
    assert runs_of(project) == before


def test_a_refusal_is_json_when_json_is_asked_for(make_project: Make) -> None:
    project = make_project({"dvc.yaml": "stages:\n  a:\n    comand: x\n"})

    document = project.wherry("repro", "--json").expect(6).json()

    assert document["error"]["id"] == "PIPELINE_INVALID"


def test_without_a_server_the_way_to_one_is_named(tmp_path: Path, make_project: Make) -> None:
    project = make_project({"dvc.yaml": ONE_STAGE, "a": "1"})
    stranger = Project(project.root, Service(tmp_path / "nowhere"))

    done = stranger.wherry("repro").expect(69)

    assert "wherry up" in done.err


def test_outside_a_project_nothing_is_submitted(tmp_path: Path, service: Service) -> None:
    done = service.wherry("repro", cwd=tmp_path).expect(253)

    assert "dvc init" in done.err


def test_unknown_runs_are_not_found(make_project: Make) -> None:
    project = make_project({"dvc.yaml": ONE_STAGE, "a": "1"})

    assert "999999" in project.wherry("show", "999999").expect(5).err
    assert "no-such-run" in project.wherry("logs", "no-such-run").expect(5).err


FAILING = """\
stages:
  bad: {cmd: "echo before; echo trouble >&2; exit 3", deps: [a], outs: [bad.txt]}
  after: {cmd: cp bad.txt after.txt, deps: [bad.txt], outs: [after.txt]}
  other: {cmd: cp a other.txt, deps: [a], outs: [other.txt]}
"""


def test_keep_going_finishes_the_other_branch(make_project: Make) -> None:
    project = make_project({"dvc.yaml": FAILING, "a": "keep going"})

    done = project.wherry("repro", "-k", "--json").expect(1)
    result = done.json()

    assert states(result) == {
        "bad": ("failed", "miss"),
        "after": ("skipped", None),
        "other": ("succeeded", "miss"),
    }
    assert result["error"]["id"] == "STAGE_FAILED"
    assert [stage["exit_code"] for stage in result["stages"] if stage["name"] == "bad"] == [3]
    lock = (project.root / "dvc.lock").read_text()
    assert "other:" in lock
    assert "bad:" not in lock


def test_a_failed_stage_shows_its_log_and_is_not_cached(make_project: Make) -> None:
    project = make_project({"dvc.yaml": FAILING, "a": "not cached"})

    first = project.wherry("repro", "bad").expect(1)
    second = project.wherry("repro", "bad", "--json").expect(1).json()

    assert "trouble" in first.err
    assert "exited with 3" in first.err
    assert states(second) == {"bad": ("failed", "miss")}


def test_without_keep_going_nothing_new_is_started(make_project: Make) -> None:
    project = make_project({"dvc.yaml": FAILING, "a": "stop"})

    result = project.wherry("repro", "-j", "1", "--json").expect(1).json()

    assert states(result)["bad"] == ("failed", "miss")
    assert states(result)["after"] == ("skipped", None)


def test_a_declared_output_that_is_not_written_fails_the_stage(make_project: Make) -> None:
    project = make_project(
        {"dvc.yaml": "stages:\n  lazy: {cmd: 'echo nothing', deps: [a], outs: [promised.txt]}\n", "a": "1"}
    )

    done = project.wherry("repro").expect(1)

    assert "promised.txt" in done.err
    assert not (project.root / "dvc.lock").exists()


FOLDERS = """\
stages:
  make: {cmd: mkdir made && cp a made/f, deps: [a], outs: [made]}
  within: {wdir: made, cmd: cp f ../copy, deps: [f], outs: [../copy]}
  nowhere: {wdir: nowhere, cmd: echo x >out, outs: [out]}
  file: {wdir: plain, cmd: echo x >out, outs: [out]}
"""


def test_a_wdir_that_is_not_there_is_refused_where_dvc_fails(make_project: Make) -> None:
    project = make_project({"dvc.yaml": FOLDERS, "a": "a folder that a stage makes", "plain": ""})

    assert states(project.repro("within")) == {"make": ("succeeded", "miss"), "within": ("succeeded", "miss")}
    for stage, said, of_dvc in (
        (
            "nowhere",
            "stage 'nowhere': its wdir 'nowhere' does not exist\n  where: dvc.yaml:4:3",
            "No such file",
        ),
        ("file", "stage 'file': its wdir 'plain' is a file\n  where: dvc.yaml:5:3", "Not a directory"),
    ):
        assert said in project.wherry("repro", stage).expect(6).err
        assert of_dvc in project.dvc("repro", "-s", stage).expect(255).err


def test_a_binary_file_is_no_metrics(make_project: Make) -> None:
    command = "head -c 100 /dev/zero > scores && mkdir kept && cp scores kept/"
    project = make_project(
        {
            "dvc.yaml": f"stages:\n  score:\n    cmd: {command}\n    deps: [a]\n    outs: [kept]\n    metrics: [scores]\n",
            "a": "1",
        }
    )
    assert "binary file 'scores' cannot be used as metrics" in project.wherry("repro").expect(1).err
    assert "cannot be used as metrics" in project.dvc("repro").err


def test_nothing_of_a_run_is_left_on_the_machine(make_project: Make) -> None:
    project = make_project({"dvc.yaml": FAILING, "a": "leftovers"})

    project.wherry("repro", "-k").expect(1)

    until_no_container_is_left(project.service)
    assert list((project.service.home / "workspaces").iterdir()) == []
    assert (
        STAGE_IMAGE in run(["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"], cwd=project.root).out
    )


BROKEN = """\
stages:
  ask: {cmd: "python3 -c 'import os; os.environ[\\"API_TOKEN\\"]'", deps: [a], outs: [asked]}
  then: {cmd: cp asked then, deps: [asked], outs: [then]}
  last: {cmd: cp then last, deps: [then], outs: [last]}
  make: {cmd: cp a made, deps: [a], outs: [made]}
  change: {cmd: echo x >>made, deps: [made], outs: [changed]}
  values: {cmd: echo 1 >values, params: [v.toml: [k]], outs: [values]}
"""


def test_why_stages_could_not_run_is_said_where_it_stands_and_with_what_to_do(make_project: Make) -> None:
    project = make_project({"dvc.yaml": BROKEN, "a": "1", "v.toml": "k = = 1\n"})

    done = project.wherry("repro", "-k", "--json").expect(1)
    reasons = {stage["name"]: stage["reason"] for stage in done.json()["stages"]}

    assert "no environment variable 'API_TOKEN'" in reasons["ask"]
    assert "`wherry secret set API_TOKEN`" in done.err
    # Not 'then', which waited for it itself.
    assert reasons["then"] == reasons["last"] == "ask did not succeed"
    assert "'made' is an input, which a stage cannot change" in reasons["change"]
    assert reasons["values"].endswith("(v.toml:1:5)")
    # A line of the table has no room for it.
    planned = project.wherry("status").expect(0)
    assert f"warning: values: {reasons['values']}" in planned.err


def test_who_mistypes_is_told_what_there_is(make_project: Make) -> None:
    project = make_project(
        {
            "sub/dvc.yaml": "stages:\n  copy: {cmd: cp src/trian.py b, deps: [src/trian.py], outs: [b]}\n",
            "sub/src/train.py": "",
        }
    )

    nothing_here = project.wherry("repro").expect(6)
    mistyped = project.wherry("status", "-P").expect(6)
    settings = project.root / ".dvc" / "wherry.toml"
    settings.write_text(settings.read_text() + 'secrets = ["TOKEN"]\n')
    (project.root / "sub" / "src" / "trian.py").write_text("")
    secret = project.wherry("repro", "-P").expect(255)

    assert (
        "  hint: -P takes the stages of the whole project; or name a target, such as 'sub/dvc.yaml'.\n"
        in (nothing_here.err)
    )
    assert "Did you mean 'sub/src/train.py'?" in mistyped.err
    assert "  where: .dvc/wherry.toml:" in secret.err
    assert "`wherry secret set TOKEN`" in secret.err
