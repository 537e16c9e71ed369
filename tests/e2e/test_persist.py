"""Persistent outputs: a stage goes on with what it left the last time, as under `dvc repro`."""

from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness import Project, states

Make = Callable[[dict[str, str]], Project]

FILES = {
    "in": "1\n",
    ".gitignore": "",
    "dvc.yaml": """\
stages:
  append:
    cmd:
    - cat in >> log
    - mkdir -p parts
    - cp in parts/$(ls parts | wc -l)
    - cat in >> kept
    deps: [in]
    outs:
    - log: {persist: true}
    - parts: {persist: true}
    - kept: {cache: false, persist: true}
  use:
    cmd: cat log parts/* > sum
    deps: [log, parts]
    outs: [sum]
""",
}
MADE = ("log", "parts/0", "parts/1", "kept", "dvc.lock", ".gitignore")


def test_two_runs_are_two_dvc_repros(make_project: Make, tmp_path: Path) -> None:
    project = make_project(FILES)
    laptop = project.clone(tmp_path / "laptop", user="ben")

    runs = []
    for content in ("1\n", "2\n"):
        project.write({"in": content})
        laptop.write({"in": content})
        runs.append(project.repro())
        laptop.dvc("repro").expect(0)

    assert states(runs[-1]) == {"append": ("succeeded", "miss"), "use": ("succeeded", "miss")}
    assert (project.root / "log").read_text() == "1\n2\n"
    for name in MADE:
        assert (project.root / name).read_bytes() == (laptop.root / name).read_bytes(), name
    assert states(project.repro()) == {"append": ("succeeded", "hit"), "use": ("succeeded", "hit")}


def test_what_was_changed_or_removed_by_hand_is_what_the_stage_starts_from(make_project: Make) -> None:
    project = make_project(FILES)
    project.repro()

    with (project.root / "log").open("a") as log:
        log.write("mine\n")
    changed = project.repro("append")
    after_change = (project.root / "log").read_text()
    forced = project.repro("-f", "append")
    after_force = (project.root / "log").read_text()

    assert states(changed) == {"append": ("succeeded", "miss")}
    assert states(forced) == {"append": ("succeeded", "bypass")}
    assert after_change == "1\nmine\n1\n"
    assert after_force == "1\nmine\n1\n1\n"


def test_a_clone_without_data_goes_on_from_what_the_lock_records(make_project: Make, tmp_path: Path) -> None:
    project = make_project(FILES)
    project.repro()
    project.commit()
    clone = project.clone(tmp_path / "clone", user="ben")

    unchanged = clone.repro()
    clone.write({"in": "clone\n"})
    changed = clone.repro("append")
    project.write({"in": "clone\n"})
    same = project.repro("append")

    assert states(unchanged)["append"] == ("succeeded", "hit")
    assert states(changed) == {"append": ("succeeded", "miss")}
    assert (clone.root / "log").read_text() == "1\nclone\n"
    # The same inputs on top of the same content: what ben computed is ana's result too.
    assert states(same) == {"append": ("succeeded", "hit")}
    assert (project.root / "log").read_text() == "1\nclone\n"


def test_why_names_the_content_that_the_stage_would_start_from(make_project: Make) -> None:
    project = make_project(FILES)
    project.repro()
    (project.root / "log").write_text("other\n")

    told = project.wherry("why", "append").expect(0).out

    assert "log before the stage" in told
    shown = {node["name"]: node for node in project.wherry("dag", "--json").expect(0).json()["nodes"]}
    assert [out["persist"] for out in shown["append"]["outs"]] == [True, True, True]
