"""A DVC root below the git root: stages read and write what lies beside it, as under `dvc repro`."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import STAGE_IMAGE, Project, Service, git, states

DVC_YAML = """\
vars: [../../shared/values.yaml]
stages:
  train:
    cmd: cat ../../shared/lib.py ../../shared/parts/* ../common/in > model && echo ${depth} >> model
    deps: [../../shared/lib.py, ../../shared/parts, ../common/in]
    params: [../../shared/params.yaml: [lr]]
    outs: [model]
  where:
    wdir: inner
    cmd: pwd > where && echo $DVC_ROOT >> where
    deps: [../model, ../../common/in]
    outs: [where]
  measure:
    cmd: wc -c < model > ../common/score
    deps: [model]
    metrics: [../common/score: {cache: false}]
  report:
    cmd: cat ../common/score > report
    deps: [../common/score]
    outs: [report]
"""
FILES = {
    "shared/lib.py": "lib\n",
    "shared/parts/a": "a\n",
    "shared/parts/b": "b\n",
    "shared/values.yaml": "depth: 3\n",
    "shared/params.yaml": "lr: 1\n",
    "apps/common/in": "in\n",
    "apps/one/dvc.yaml": DVC_YAML,
    "apps/one/inner/here": "",
    "apps/one/sub/dvc.yaml": "stages:\n  last: {cmd: cat ../../common/in ../model > last, deps: [../../common/in, ../model], outs: [last]}\n",
    "apps/two/dvc.yaml": "stages:\n  other: {cmd: cp ../common/in other, deps: [../common/in], outs: [other]}\n",
}


@pytest.fixture
def repository(tmp_path: Path, service: Service) -> Path:
    """Two DVC projects in one git repository."""
    top = tmp_path / "repository"
    for name, text in FILES.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    git(top, "init", "-q", "-b", "main")
    for app in ("one", "two"):
        project = Project(top / "apps" / app, service)
        project.dvc("init", "-q", "--subdir").expect(0)
        project.write({".dvc/wherry.toml": f'[defaults]\nimage = "{STAGE_IMAGE}"\n'})
    Project(top, service).commit("begin")
    return top


def test_stages_reach_beside_their_project_and_the_lock_is_that_of_dvc(
    repository: Path, service: Service, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", str(repository), "laptop")
    project, laptop = (Project(top / "apps/one", service) for top in (repository, tmp_path / "laptop"))

    run = project.repro("-P")
    laptop.dvc("repro", "-P").expect(0)
    project.wherry("pull", str(run["id"])).expect(0)

    assert {state for state, _ in states(run).values()} == {"succeeded"}
    for name in ("sub/dvc.lock", "model", "report", "../common/score", "sub/last", ".gitignore"):
        assert (project.root / name).read_bytes() == (laptop.root / name).read_bytes(), name
    assert (project.root / "inner/where").read_text() == "/workspace/apps/one/inner\n/workspace/apps/one\n"
    ours, theirs = ((side.root / "dvc.lock").read_text() for side in (project, laptop))
    # All but the stage that writes down where it is.
    assert ours.split("  where:")[0] == theirs.split("  where:")[0]
    assert project.wherry("status", "--dvc", "--json").expect(0).json() == {}


def test_another_clone_is_served_and_a_change_outside_is_seen(
    repository: Path, service: Service, tmp_path: Path
) -> None:
    (repository / "shared/lib.py").write_text("lib of this test\n")
    Project(repository, service).commit()
    project = Project(repository / "apps/one", service)
    project.repro()
    project.commit()
    git(tmp_path, "clone", "-q", str(repository), "elsewhere")
    clone = Project(tmp_path / "elsewhere/apps/one", service, "ben")

    again = clone.repro()
    (tmp_path / "elsewhere/shared/parts/a").write_text("changed\n")
    status = clone.wherry("status", "--dvc", "--json").expect(0).json()
    said = clone.dvc("status", "--json", "train").expect(0).json()
    changed = clone.repro("train")

    assert {use for _, use in states(again).values()} == {"hit"}
    assert status["train"][0] == said["train"][0]
    assert status["train"][0] == {"changed deps": {str(tmp_path / "elsewhere/shared/parts"): "modified"}}
    assert states(changed) == {"train": ("succeeded", "miss")}


def test_each_project_of_a_repository_stands_for_itself(repository: Path, service: Service) -> None:
    two = Project(repository / "apps/two", service)
    (repository / "apps/common/in").write_text("for two\n")

    run = two.repro()
    two.wherry("pull").expect(0)

    assert states(run) == {"other": ("succeeded", "miss")}
    assert (two.root / "other").read_text() == "for two\n"
    assert not (repository / "apps/one/dvc.lock").exists()


def test_what_cannot_be_had_is_refused_when_it_is_run_and_not_before(
    repository: Path, service: Service, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s\n")
    (repository / "shared/link").symlink_to(tmp_path / "secret")
    project = Project(repository / "apps/one", service)
    stages = (
        "  remote: {cmd: x, deps: [s3://bucket/key], outs: [r]}\n"
        "  far: {cmd: x, deps: [../../../secret], outs: [f]}\n"
        "  linked: {cmd: x, deps: [../../shared/link], outs: [l]}\n"
    )
    project.write({"dvc.yaml": DVC_YAML + stages})
    line = len(DVC_YAML.splitlines())

    drawn = project.wherry("dag", "--mermaid").expect(0)
    project.wherry("lint").expect(0)
    ran = project.repro("train")
    refused = {name: project.wherry("repro", name) for name in ("remote", "far", "linked")}
    project.wherry("stage", "add", "-n", "new", "-d", "../common/in", "-o", "n", "cp ../common/in n").expect(
        0
    )

    assert "remote" in drawn.out
    assert states(ran)["train"][0] == "succeeded"
    assert refused["remote"].code == refused["far"].code == 6
    assert f"dvc.yaml:{line + 1}:" in refused["remote"].err
    assert "dvc import-url s3://bucket/key" in refused["remote"].err
    assert f"dvc.yaml:{line + 2}:" in refused["far"].err
    assert "'../../../secret' lies outside the repository" in refused["far"].err
    assert refused["linked"].code != 0
    assert "stays on this machine" in refused["linked"].err
    assert (
        subprocess.run(
            ["git", "diff", "--quiet", "HEAD", "--", "shared"], cwd=repository, check=False
        ).returncode
        == 0
    )
