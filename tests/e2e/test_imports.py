"""Imports that are not frozen: what is recorded counts, and whoever submits hears that DVC would look further."""

from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness import Project, states

Make = Callable[[dict[str, str]], Project]


def test_an_import_that_is_not_frozen_counts_as_recorded_and_that_is_said(
    make_project: Make, tmp_path: Path
) -> None:
    project = make_project({"dvc.yaml": "stages:\n  use: {cmd: cp data out, deps: [data], outs: [out]}\n"})
    source = tmp_path / "source"
    source.write_text("imported\n")
    project.dvc("import-url", "-q", str(source), "data").expect(0)
    file = project.root / "data.dvc"
    file.write_text(file.read_text().replace("frozen: true\n", ""))
    project.commit()

    plan = project.wherry("repro", "--dry").expect(0)
    first = project.wherry("repro").expect(0)
    ours = (project.root / "dvc.lock").read_bytes()
    source.write_text("newer\n")
    again = project.repro()
    status = project.wherry("status", "--dvc").expect(0)

    for told in (plan, first):
        assert "data.dvc is taken as it is recorded" in told.err
        assert str(source) in told.err
        assert "dvc update data.dvc" in told.err
    assert states(again) == {"use": ("succeeded", "hit")}
    assert str(source) in status.err
    assert file.read_text().count("md5:") > 1
    source.write_text("imported\n")
    (project.root / "dvc.lock").unlink()
    project.dvc("repro").expect(0)
    assert (project.root / "dvc.lock").read_bytes() == ours
