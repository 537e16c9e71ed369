"""Names as DVC prints them in the folder of the command; in JSON from the DVC root."""

from collections.abc import Callable

from tests.e2e.harness import Project

Make = Callable[[dict[str, str]], Project]


def test_people_see_and_type_names_as_they_are_called_in_the_folder(make_project: Make) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n  prepare: {cmd: echo first && cp raw x, deps: [raw], outs: [x]}\n",
            "sub/dvc.yaml": "stages:\n"
            "  train: {cmd: echo second && cp ../x m, deps: [../x], outs: [m]}\n"
            "  bad: {cmd: exit 3, deps: [m], outs: [b]}\n"
            "  after: {cmd: cp b c, deps: [b], outs: [c]}\n",
            "raw": "names\n",
        }
    )
    sub = Project(project.root / "sub", project.service)
    graph = sub.dvc("dag", "--dot").expect(0).out

    plan = sub.wherry("status").expect(0).out
    run = sub.wherry("repro").expect(1)
    number = sub.wherry("ps", "--json").expect(0).json()["runs"][0]["id"]
    shown = sub.wherry("show", number).expect(0).out
    logs = sub.wherry("logs", number).expect(0).out

    for name in ("../dvc.yaml:prepare", "train", "bad"):
        assert f'"{name}"' in graph, "what DVC calls it"
        for text in (plan, run.err, shown):
            assert name in [line.split()[0] for line in text.splitlines() if line.strip()]
    assert "needs what ../dvc.yaml:prepare makes" in plan
    assert "error: stage 'bad' failed" in run.err
    assert "sub/dvc.yaml:bad" not in run.err + shown
    assert "bad did not succeed" in shown
    assert "../dvc.yaml:prepare | first" in logs
    assert "train | second" in logs
    for name, said in {
        "train": "second",
        "../dvc.yaml:prepare": "first",
        "sub/dvc.yaml:train": "second",
    }.items():
        assert said in sub.wherry("logs", number, name).expect(0).out
    assert sub.wherry("why", "train").expect(0).out.startswith("train: hit")
    assert (
        sub.wherry("why", "../dvc.yaml:prepare", "--run", number)
        .expect(0)
        .out.startswith("../dvc.yaml:prepare: run")
    )
    assert "has no stage 'nope'" in sub.wherry("logs", number, "nope").expect(5).err


def test_json_names_stages_from_the_root_wherever_it_is_asked_for(make_project: Make) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n  prepare: {cmd: cp raw x, deps: [raw], outs: [x]}\n",
            "sub/dvc.yaml": "stages:\n  train: {cmd: cp ../x m, deps: [../x], outs: [m]}\n",
            "raw": "names in json\n",
        }
    )
    sub = Project(project.root / "sub", project.service)

    plan = sub.wherry("status", "--json").expect(0).json()
    run = sub.repro()
    why = sub.wherry("why", "train", "--json").expect(0).json()

    expected = ["prepare", "sub/dvc.yaml:train"]
    assert [stage["name"] for stage in plan["stages"]] == expected
    assert [stage["name"] for stage in run["stages"]] == expected
    assert why["stage"] == "sub/dvc.yaml:train"
