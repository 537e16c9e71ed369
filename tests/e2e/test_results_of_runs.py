"""Runs as revisions: their metrics and params, with nothing of them on this machine."""

import pytest

from tests.e2e.harness import Project, Service, files_that_hold, git, new_project
from tests.e2e.in_process import ask_wherry

_FILES = {
    "dvc.yaml": """\
stages:
  train:
    cmd: |
      test ${lr} != 9
      echo "{\\"acc\\": ${lr}}" > m.json
      echo "{\\"n\\": ${lr}}" > plain.json
    params: [lr]
    metrics: [m.json, plain.json: {cache: false}]
""",
    "params.yaml": "lr: 1\nother: x\n",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Project:
    """Three runs: lr 1 and 2 succeeded, 9 failed; lr 1 is committed; no output is here."""
    project = new_project(tmp_path_factory.mktemp("runs") / "project", service, _FILES)
    project.wherry("repro", "-n", "one", "--no-logs", "--pull", "none").expect(0)
    project.commit("one")
    project.write({"params.yaml": "lr: 2\nother: y\n"})
    project.wherry("repro", "-n", "two", "--no-logs", "--pull", "none").expect(0)
    project.write({"params.yaml": "lr: 9\nother: y\n"})
    project.wherry("repro", "-n", "broken", "--no-logs", "--pull", "none").expect(1)
    for path in ("m.json", ".dvc/cache"):
        assert not (project.root / path).exists()
    return project


def test_runs_are_compared_with_each_other_and_with_commits(project: Project, service: Service) -> None:
    shown = ask_wherry(service, project.root, [("", ("show", name, "--json")) for name in ("one", "two")])
    ids = {run.json()["name"]: run.json()["id"] for run in shown}
    numbers, names, mixed, params = ask_wherry(
        service,
        project.root,
        [
            ("", ("metrics", "diff", "--json", ids["one"], f"run:{ids['two']}")),
            ("", ("metrics", "diff", "--json", "one", "two")),
            ("", ("metrics", "diff", "--json", "HEAD", "two")),
            ("", ("params", "diff", "--json", "one", "two")),
        ],
    )
    change = {"old": 1, "new": 2, "diff": 1}
    expected = {"m.json": {"acc": change}, "plain.json": {"n": change}}
    assert (numbers.expect(0).json(), names.json(), mixed.json()) == (expected, expected, expected)
    assert params.expect(0).json() == {"params.yaml": {"lr": change, "other": {"old": "x", "new": "y"}}}


def test_metrics_that_only_the_store_has_are_shown(project: Project, service: Service) -> None:
    (shown,) = ask_wherry(service, project.root, [("", ("metrics", "show", "-a", "--json"))])
    # The workspace has the lock of the second run.
    values = {rev: result["data"]["m.json"]["data"]["acc"] for rev, result in shown.expect(0).json().items()}
    assert values == {"workspace": 2, "main": 1}


def test_a_stage_that_failed_has_no_metrics(project: Project, service: Service) -> None:
    broken, unknown = ask_wherry(
        service,
        project.root,
        [
            ("", ("metrics", "diff", "--json", "two", "broken")),
            ("", ("metrics", "diff", "two", "run:no-such")),
        ],
    )
    assert broken.expect(0).json()["m.json"] == {"acc": {"old": 2, "new": None}}
    unknown.expect(5)


def test_runs_stand_under_the_commit_that_they_came_from(project: Project, service: Service) -> None:
    whole, sorted_, table = ask_wherry(
        service,
        project.root,
        [
            ("", ("exp", "show", "--json", "-n", "2")),
            ("", ("exp", "show", "--csv", "-n", "2", "--hide-failed", "--sort-by", "acc")),
            ("", ("exp", "show", "-n", "2", "--sort-by", "lr", "--sort-order", "desc")),
        ],
    )
    _, last, first = whole.expect(0).json()
    assert [one["name"] for one in last["experiments"]] == ["two", "broken"]
    assert [one["name"] for one in first["experiments"]] == ["one"]
    two, broken = last["experiments"]
    assert (two["executor"]["state"], broken["executor"]["state"]) == ("success", "failed")
    assert (two["run"]["user"], two["run"]["state"], two["run"]["dirty"]) == ("ana", "succeeded", True)
    data = two["revs"][0]["data"]
    assert data["metrics"] == {"m.json": {"data": {"acc": 2}}, "plain.json": {"data": {"n": 2}}}
    assert data["params"] == {"params.yaml": {"data": {"lr": 2, "other": "y"}}}
    assert broken["revs"][0]["data"]["metrics"]["m.json"]["error"]["type"] == "FileNotFoundError"
    rows = [line.split(",") for line in sorted_.expect(0).out.splitlines()]
    assert rows[0][:7] == ["Experiment", "rev", "typ", "Created", "parent", "State", "User"]
    assert [row[0] for row in rows[1:]] == ["", "", "two", "", "one"]
    names = [line.split()[1:3] for line in table.expect(0).out.splitlines() if "──" in line and "[" in line]
    assert [name for _, name in names] == ["[broken]", "[two]", "[one]"]


def test_a_run_becomes_a_branch_of_its_commit(project: Project, service: Service) -> None:
    status = git(project.root, "status", "--porcelain")
    (project.root / "made-after").write_text("not of the run\n")
    made, again, unknown = ask_wherry(
        service,
        project.root,
        [
            ("", ("exp", "branch", "two", "better")),
            ("", ("exp", "branch", "one", "better")),
            ("", ("exp", "branch", "no-such-run")),
        ],
    )
    assert "Git branch 'better' has been created from run" in made.expect(0).out
    assert "already exists" in again.expect(255).err
    unknown.expect(5)
    (project.root / "made-after").unlink()
    assert git(project.root, "status", "--porcelain") == status
    changed = git(project.root, "diff", "--name-only", "main", "better").split()
    assert changed == ["dvc.lock", "params.yaml", "plain.json"]
    assert git(project.root, "show", "better:params.yaml") == "lr: 2\nother: y\n"
    assert git(project.root, "show", "better:plain.json") == '{"n": 2}\n'
    assert git(project.root, "rev-parse", "better~1") == git(project.root, "rev-parse", "main")
    clone = project.clone(project.root.parent / "clone", user="ben")
    git(clone.root, "checkout", "-q", "better")
    status_there = clone.wherry("status", "--dvc", "--json").expect(0)
    assert status_there.json() == {}


def test_a_secret_in_a_committed_configuration_stays_here(project: Project, service: Service) -> None:
    config = project.root / ".dvc" / "config"
    before = config.read_text()
    config.write_text(f"{before}['remote \"r\"']\n    url = s3://b\n    secret_access_key = hunter2-secret\n")
    project.commit("a mistake")
    config.write_text(before)
    project.commit("taken back")
    (shown,) = ask_wherry(service, project.root, [("", ("metrics", "show", "-A", "--json"))])
    assert len(shown.expect(0).json()) >= len(("workspace", "begin", "one", "a mistake", "taken back"))
    assert files_that_hold("a mistake", project.root / ".git") != []
    assert files_that_hold("hunter2-secret", service.home) == []
