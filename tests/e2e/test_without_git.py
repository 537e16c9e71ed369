"""A project without git: nothing but the .dvc files tells tracked data from the project's own files."""

from pathlib import Path

from tests.e2e.harness import STAGE_IMAGE, Project, Service, states

FILES = {
    ".dvc/wherry.toml": f'[defaults]\nimage = "{STAGE_IMAGE}"\n',
    "data/one": "1\n",
    "data/two": "2\n",
    "d/three": "3\n",
    "dvc.yaml": """\
stages:
  join: {cmd: ls > seen && cat data/* d/three > sum, deps: [data, d/three], outs: [sum], metrics: [seen: {cache: false}]}
  use: {cmd: cp sum used, deps: [sum], outs: [used]}
""",
}


def test_tracked_data_travels_as_data_and_outputs_are_made_anew(tmp_path: Path, service: Service) -> None:
    root = tmp_path / "project"
    root.mkdir()
    project = Project(root, service)
    project.dvc("init", "-q", "--no-scm").expect(0)
    project.write(FILES)
    project.dvc("add", "-q", "data", "d/three").expect(0)

    assert states(project.repro()) == {"join": ("succeeded", "miss"), "use": ("succeeded", "miss")}
    project.wherry("pull").expect(0)
    assert (root / "used").read_text() == "1\n2\n3\n"
    assert project.dvc("status").expect(0).out == "Data and pipelines are up to date.\n"

    project.write({"data/one": "changed\n"})
    assert "dvc commit data.dvc" in project.wherry("status").expect(6).err
    project.dvc("commit", "-q", "-f", "data.dvc").expect(0)
    project.write({"used": "by hand\n"})
    assert states(project.repro()) == {"join": ("succeeded", "miss"), "use": ("succeeded", "miss")}
    project.wherry("pull").expect(0)
    assert (root / "used").read_text() == "changed\n2\n3\n"
    # The outputs that lay there were not before the stage that makes them.
    assert {"sum"}.isdisjoint((root / "seen").read_text().split())


def test_what_lies_around_of_earlier_runs_is_not_uploaded(tmp_path: Path, service: Service) -> None:
    root = tmp_path / "stale"
    root.mkdir()
    project = Project(root, service)
    project.dvc("init", "-q", "--no-scm").expect(0)
    project.write({**FILES, "kept/elsewhere": "tracked by a file of another name\n" * 10_000})
    project.dvc("add", "-q", "data", "d/three").expect(0)
    project.dvc("add", "-q", "kept/elsewhere").expect(0)
    (root / "kept/elsewhere.dvc").rename(root / "kept/other.dvc")
    project.write({"sum": "stale\n" * 100_000, "used": "stale too\n" * 100_000})

    run = project.wherry("repro").expect(0)

    sent = [line for line in run.err.splitlines() if line.startswith("Uploading")]
    assert sent
    assert all("MB" not in line and "KB" not in line for line in sent), sent
    project.wherry("pull", "used").expect(0)
    assert (root / "used").read_text() == "1\n2\n3\n"
